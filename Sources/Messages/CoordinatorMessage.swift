import FoundationEssentials

extension CoordinatorMessage {
    /// The message kinds that a coordinator sends.
    package typealias Body = OneOf_Body

    /// Encodes one message as the payload of one frame.
    ///
    /// - Parameters:
    ///   - body: The message.
    ///   - limits: The limits of the receiving worker.
    /// - Returns: The encoded envelope.
    /// - Throws: `tooLarge` if the worker would reject the size.
    package static func encode(_ body: Body, limits: MessageLimits = .standard) throws(MessageError) -> [UInt8] {
        try encodeEnvelope(body, limits)
    }

    /// Decodes and validates a message from a coordinator.
    ///
    /// A refusal is decoded for every protocol version, because it carries the reason.
    ///
    /// - Parameters:
    ///   - bytes: The payload of one frame.
    ///   - limits: The limits to enforce.
    /// - Returns: The message.
    /// - Throws: The first violation found.
    package static func decode(_ bytes: [UInt8], limits: MessageLimits = .standard) throws(MessageError) -> Body {
        let preamble = try preamble(of: bytes, limits)
        guard preamble.protocolVersion == Messages.protocolVersion else {
            if preamble.hasRefusal { return .refusal(preamble.refusal) }
            throw .protocolVersion(
                speaker: .coordinator, found: preamble.protocolVersion, expected: Messages.protocolVersion)
        }
        return try decodeBody(of: bytes, limits)
    }
}

extension CoordinatorMessage: Envelope {
    static var speaker: Speaker { .coordinator }

    static func validate(_ body: Body, _ limits: MessageLimits) throws(MessageError) {
        switch body {
        case .refusal(let refusal): try limits.check(text: refusal.reason, "refusal.reason")
        case .welcome(let welcome): try welcome.validate(limits)
        case .assignment(let assignment): try assignment.validate(limits)
        case .acknowledgement, .wait, .cancel: break
        case .probeReply(let reply):
            try limits.check(text: reply.runID, "probe_reply.run_id")
            try limits.check(text: reply.engineVersion, "probe_reply.engine_version")
            try limits.check(text: reply.modelHash, "probe_reply.model_hash")
            try limits.check(text: reply.engine, "probe_reply.engine")
            try limits.check(text: reply.precision, "probe_reply.precision")
        case .finish(let finish): try limits.check(text: finish.reason, "finish.reason")
        case .blobChunk(let chunk): try limits.check(digest: chunk.sha256, "blob_chunk.sha256")
        }
    }
}

extension Welcome {
    fileprivate func validate(_ limits: MessageLimits) throws(MessageError) {
        try limits.check(text: runID, "welcome.run_id")
        try limits.check(text: settings.modelHash, "welcome.settings.model_hash")
        try limits.check(text: settings.negativePrompt, "welcome.settings.negative_prompt")
        try limits.check(text: settings.precision, "welcome.settings.precision")
        try limits.check(text: settings.engine, "welcome.settings.engine")
        guard settings.scorers.count <= limits.scorers else {
            throw .field(
                name: "welcome.settings.scorers", expected: "at most \(limits.scorers) names",
                found: "\(settings.scorers.count)")
        }
        for scorer in settings.scorers { try limits.check(text: scorer, "welcome.settings.scorers") }
        guard settings.scorerModels.count <= limits.scorers else {
            throw .field(
                name: "welcome.settings.scorer_models", expected: "at most \(limits.scorers) models",
                found: "\(settings.scorerModels.count)")
        }
        for model in settings.scorerModels {
            try limits.check(text: model.scorer, "welcome.settings.scorer_models.scorer")
            try limits.check(text: model.hash, "welcome.settings.scorer_models.hash")
        }
        for prompt in prompts { try limits.check(text: prompt.text, "welcome.prompts.text") }
        if hasEmbeddings { try limits.check(digest: embeddings.sha256, "welcome.embeddings.sha256") }
    }
}

extension Assignment {
    fileprivate func validate(_ limits: MessageLimits) throws(MessageError) {
        guard kind == .evaluate || kind == .render || kind == .measureReuse else {
            throw .field(
                name: "assignment.kind", expected: "evaluate, render or measure_reuse", found: "\(kind.rawValue)")
        }
        guard kind != .measureReuse || items.count == 1 && candidates.isEmpty else {
            throw .field(
                name: "assignment.items", expected: "one, without candidates, to measure reuse",
                found: "\(items.count) items, \(candidates.count) candidates")
        }
        for candidate in candidates {
            let geneBytes = (Int(candidate.geneCount) + 7) / 8
            guard candidate.genome.count == geneBytes, geneBytes <= limits.genomeBytes else {
                throw .field(
                    name: "assignment.candidates.genome",
                    expected: "\(geneBytes) bytes for \(candidate.geneCount) genes, at most \(limits.genomeBytes)",
                    found: "\(candidate.genome.count)")
            }
        }
    }
}
