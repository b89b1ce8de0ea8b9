import FoundationEssentials

extension WorkerMessage {
    /// The kinds of message a worker sends.
    package typealias Body = OneOf_Body

    /// Encodes one message as the payload of one frame.
    ///
    /// - Parameters:
    ///   - body: What to say.
    ///   - limits: Bounds the coordinator will apply.
    /// - Returns: The bytes to send.
    /// - Throws: `tooLarge` when the coordinator would not accept the size.
    package static func encode(_ body: Body, limits: MessageLimits = .standard) throws(MessageError) -> [UInt8] {
        try encodeEnvelope(body, limits)
    }

    /// Decodes and checks what a worker sent.
    ///
    /// Numbers may be NaN or infinite; what that means is the coordinator's to decide.
    ///
    /// - Parameters:
    ///   - bytes: The payload of one frame, from a peer that is not trusted.
    ///   - limits: Bounds on what is accepted.
    /// - Returns: What the worker says.
    /// - Throws: What is wrong, in words fit for a `Refusal`.
    package static func decode(_ bytes: [UInt8], limits: MessageLimits = .standard) throws(MessageError) -> Body {
        let version = try preamble(of: bytes, limits).protocolVersion
        guard version == Messages.protocolVersion else {
            throw .protocolVersion(speaker: .worker, found: version, expected: Messages.protocolVersion)
        }
        return try decodeBody(of: bytes, limits)
    }
}

extension WorkerMessage: Envelope {
    static var speaker: Speaker { .worker }

    static func validate(_ body: Body, _ limits: MessageLimits) throws(MessageError) {
        switch body {
        case .registration(let registration): try registration.validate(limits)
        case .taskRequest, .heartbeat: break
        case .taskResult(let result): try result.validate(limits)
        case .taskFailure(let failure): try limits.check(text: failure.reason, "task_failure.reason")
        case .goodbye(let goodbye): try limits.check(text: goodbye.reason, "goodbye.reason")
        case .canary(let canary):
            guard canary.values.count <= limits.canaryValues else {
                throw .field(
                    name: "canary.values", expected: "at most \(limits.canaryValues) numbers",
                    found: "\(canary.values.count)")
            }
        case .probe(let probe): try limits.check(text: probe.engineVersion, "probe.engine_version")
        case .blobRequest(let request): try limits.check(digest: request.sha256, "blob_request.sha256")
        case .costReport(let report): try limits.check(text: report.table, "cost_report.table")
        }
    }
}

extension Registration {
    /// Length of `sessionID` in bytes.
    package static let sessionIDByteCount = 16

    fileprivate func validate(_ limits: MessageLimits) throws(MessageError) {
        guard sessionID.count == Self.sessionIDByteCount else {
            throw .field(
                name: "registration.session_id", expected: "\(Self.sessionIDByteCount) bytes",
                found: "\(sessionID.count)")
        }
        try limits.check(text: engineVersion, "registration.engine_version")
        try limits.check(text: workerName, "registration.worker_name")
        try limits.check(text: host, "registration.host")
        try limits.check(text: cpu, "registration.cpu")
        try limits.check(text: blas, "registration.blas")
        try limits.check(text: modelHash, "registration.model_hash")
        try limits.check(text: imageModelHash, "registration.image_model_hash")
        guard scorerHashes.count <= limits.scorers else {
            throw .field(
                name: "registration.scorer_hashes", expected: "at most \(limits.scorers) hashes",
                found: "\(scorerHashes.count)")
        }
        for hash in scorerHashes { try limits.check(text: hash, "registration.scorer_hashes") }
    }
}

extension TaskResult {
    fileprivate func validate(_ limits: MessageLimits) throws(MessageError) {
        for image in images {
            guard image.scores.count <= limits.scorers else {
                throw .field(
                    name: "task_result.images.scores", expected: "at most \(limits.scorers) scores",
                    found: "\(image.scores.count)")
            }
            for scorer in image.scores.keys { try limits.check(text: scorer, "task_result.images.scores") }
        }
        let found = contentChecksum
        guard found == checksum else { throw .checksum(taskID: taskID, expected: checksum, found: found) }
    }
}

extension MessageLimits {
    func check(text: String, _ name: String) throws(MessageError) {
        guard text.utf8.count <= textBytes else {
            throw .field(name: name, expected: "at most \(textBytes) bytes of text", found: "\(text.utf8.count)")
        }
    }
}
