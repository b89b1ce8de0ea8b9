/// How a coordinator's socket is protected.
public enum CoordinatorSecurity: Sendable {
    /// Not at all: whoever reaches the port is served.
    case plaintext
    /// Encrypted; only keys of the register get past the handshake.
    case curve(KeyPair, KeyRegister)

    /// Who may connect; nil where nobody is asked.
    var register: KeyRegister? {
        if case .curve(_, let register) = self { register } else { nil }
    }
}

/// How a worker's connection is protected.
public enum WorkerSecurity: Sendable {
    /// Not at all.
    case plaintext
    /// Encrypted, and only with the coordinator that has this key.
    case curve(KeyPair, coordinator: PublicKey)

    /// What a key file says.
    ///
    /// - Parameter file: The worker's credentials.
    public init(_ file: WorkerKeyFile) { self = .curve(file.keys, coordinator: file.coordinator) }

    /// Whether anything is encrypted.
    public var isEncrypted: Bool {
        if case .curve = self { true } else { false }
    }
}

/// Why somebody was kept out before a word was understood.
public enum TransportRefusal: String, CaseIterable, Sendable {
    /// A key that is not on the list.
    case unknownKey = "unknown-key"
    /// A key that was taken off the list; counted for each attempt and each message.
    case revokedKey = "revoked-key"
    /// No encryption, another coordinator's key, another protocol, or noise.
    case handshake = "failed-handshake"
    /// A message of another shape than a worker's.
    case misshapen = "misshapen-message"
}
