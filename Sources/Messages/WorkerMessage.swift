import FoundationEssentials

extension WorkerMessage {
    /// The message kinds that a worker sends.
    package typealias Body = OneOf_Body

    /// Encodes one message as the payload of one frame.
    ///
    /// - Parameters:
    ///   - body: The message.
    ///   - limits: The limits of the receiving coordinator.
    /// - Returns: The encoded envelope.
    /// - Throws: `tooLarge` if the coordinator would reject the size.
    package static func encode(_ body: Body, limits: MessageLimits = .standard) throws(MessageError) -> [UInt8] {
        try encodeEnvelope(body, limits)
    }

    /// Decodes and validates a message from a worker.
    ///
    /// Accepts NaN and infinity; the coordinator handles them.
    ///
    /// - Parameters:
    ///   - bytes: The payload of one frame, from an untrusted peer.
    ///   - limits: The limits to enforce.
    /// - Returns: The message.
    /// - Throws: The first violation found; its description can be the reason of a `Refusal`.
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
        case .probe(let probe):
            try limits.check(text: probe.engineVersion, "probe.engine_version")
            try limits.check(text: probe.engine, "probe.engine")
            try Registration.check(probe.precisions, "probe.precisions", limits)
        case .blobRequest(let request): try limits.check(digest: request.sha256, "blob_request.sha256")
        case .costReport(let report): try limits.check(text: report.table, "cost_report.table")
        }
    }
}

extension Registration {
    /// The length of `sessionID` in bytes.
    package static let sessionIDByteCount = 16
    /// The largest number of `precisions`.
    private static let maxPrecisionCount = 16

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
        try Self.check(precisions, "registration.precisions", limits)
        try limits.check(text: engine, "registration.engine")
        try limits.check(text: deviceClass, "registration.device_class")
    }

    fileprivate static func check(
        _ precisions: [String], _ name: String, _ limits: MessageLimits
    ) throws(MessageError) {
        guard precisions.count <= maxPrecisionCount else {
            throw .field(name: name, expected: "at most \(maxPrecisionCount) names", found: "\(precisions.count)")
        }
        for precision in precisions { try limits.check(text: precision, name) }
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
