import Basics
import JSON

extension CompactScheduleFile {
    /// First bytes of every compact file.
    static let signature: [UInt8] = [0x89, 0x45, 0x43, 0x41, 0x44, 0x0D, 0x0A, 0x1A]
    private static let version = 1

    /// Whether bytes begin as a compact file does.
    public static func isCompact(_ bytes: some Sequence<UInt8>) -> Bool { bytes.starts(with: signature) }

    /// The file's bytes.
    public var bytes: [UInt8] { encoded(bitsPerGene: 1) }

    /// The file's bytes with a width of genes that holds every ``Decision``.
    func encoded(bitsPerGene: Int) -> [UInt8] {
        var bytes = Self.signature
        bytes.append(littleEndian: UInt16(Self.version))
        bytes.append(UInt8(bitsPerGene))
        bytes.append(settingsHash == nil ? 0 : 1)
        bytes += settingsHash.flatMap { [UInt8](hexadecimal: $0) } ?? Array(repeating: 0, count: SHA256.byteCount)
        bytes.append(littleEndian: UInt16(shape.isFlux ? 1 : 0))
        for count in [shape.blockCount - shape.singleBlockCount, shape.singleBlockCount, shape.stepCount] {
            bytes.append(littleEndian: UInt16(count))
        }
        bytes.append(littleEndian: UInt32(entries.count))
        for text in [costName, qualityName, provenance] { bytes.append(text: text) }
        for entry in entries {
            bytes.append(littleEndian: UInt16(entry.schedule.gateStep ?? 0))
            for value in [entry.cost, entry.quality] { bytes.append(littleEndian: (value ?? .nan).bitPattern) }
            bytes.append(text: entry.schedule.name)
            var details = entry.sections
            details["attributes"] = .object(entry.attributes)
            bytes.append(text: JSONValue.object(details).compactText)
            bytes += Self.pack(entry.schedule.decisions, bitsPerGene: bitsPerGene)
        }
        return bytes + SHA256.digest(bytes)
    }

    /// Reads a compact file's bytes.
    ///
    /// - Parameters:
    ///   - bytes: The bytes; anything may be in them.
    ///   - file: What an error message calls the file.
    /// - Throws: ``SchedulesError/compactFile(file:byte:problem:)`` for what is no compact file, is damaged, or needs a
    ///   newer version of this program.
    public init(parsing bytes: some Sequence<UInt8>, file: String) throws(SchedulesError) {
        let bytes = Array(bytes)
        guard Self.isCompact(bytes) else {
            throw .compactFile(file: file, byte: 0, problem: "not a compact schedule file")
        }
        let end = bytes.count - SHA256.byteCount
        var header = ByteReader(bytes[Self.signature.count...], file: file)
        let version = try header.integer(UInt16.self, "the version")
        guard version == Self.version else {
            throw header.failure("expected version \(Self.version), found \(version)", at: Self.signature.count)
        }
        guard end >= header.offset, SHA256.digest(bytes[..<end]).elementsEqual(bytes[end...]) else {
            throw header.failure("the file is damaged or cut short: its checksum differs", at: max(0, end))
        }
        var reader = ByteReader(bytes[header.offset..<end], file: file)
        try self.init(&reader)
    }

    private init(_ reader: inout ByteReader) throws(SchedulesError) {
        let bitsPerGene = try reader.integer(UInt8.self, in: 1...8, "bits per gene")
        let isKnown = try reader.integer(UInt8.self, in: 0...1, "whether the settings are known") == 1
        let hash = (try reader.take(SHA256.byteCount, "the hash of the settings")).hexadecimal
        let shape = try Self.shape(&reader)
        let count = try reader.integer(UInt32.self, in: 1...Int(Int32.max), "the number of schedules")
        let costName = try reader.text("the name of the cost")
        let qualityName = try reader.text("the name of the quality")
        let provenance = try reader.text("the provenance")
        var entries: [Entry] = []
        for _ in 0..<count { entries.append(try Self.entry(&reader, shape: shape, bitsPerGene: bitsPerGene)) }
        guard reader.isAtEnd else { throw reader.failure("more bytes after the last schedule") }
        try self.init(
            entries: entries, costName: costName, qualityName: qualityName, provenance: provenance,
            settingsHash: isKnown ? hash : nil)
    }

    private static func shape(_ reader: inout ByteReader) throws(SchedulesError) -> ScheduleShape {
        let isFlux = try reader.integer(UInt16.self, in: 0...1, "the kind of blocks") == 1
        let limit = ScheduleShape.blockLimit
        let blocks = try reader.integer(UInt16.self, in: (isFlux ? 0 : 1)...limit, "the number of blocks")
        let range = isFlux ? (blocks == 0 ? 1 : 0)...limit - blocks : 0...0
        let singles = try reader.integer(UInt16.self, in: range, "the number of single-stream blocks")
        let steps = try reader.integer(UInt16.self, in: 1...ScheduleShape.stepLimit, "the number of steps")
        return isFlux
            ? .flux(fullBlocks: blocks, singleBlocks: singles, steps: steps) : .pixart(blocks: blocks, steps: steps)
    }

    private static func entry(
        _ reader: inout ByteReader, shape: ScheduleShape, bitsPerGene: Int
    ) throws(SchedulesError) -> Entry {
        let start = reader.offset
        let gates = 0...(shape.isFlux ? 0 : ScheduleShape.stepLimit)
        let gate = try reader.integer(UInt16.self, in: gates, "the gate step")
        let cost = Double(bitPattern: try reader.integer(UInt64.self, "the cost"))
        let quality = Double(bitPattern: try reader.integer(UInt64.self, "the quality"))
        let name = try reader.text("a schedule's name")
        let place = "\(reader.file): byte \(reader.offset)"
        let details = try Self.details(try reader.text("a schedule's details"), file: place)
        guard details.gateStep == gate else {
            throw reader.failure("gate step \(gate), another than in the schedule's details", at: start)
        }
        let decisions = try unpack(&reader, count: shape.geneCount, bitsPerGene: bitsPerGene)
        return Entry(
            schedule: Schedule(
                shape: shape, decisions: decisions, name: name, gateStep: gate == 0 ? nil : gate),
            cost: cost, quality: quality, attributes: details.attributes,
            sections: details.sections)
    }
}

extension CompactScheduleFile {
    private static func details(
        _ text: String, file: String
    ) throws(SchedulesError) -> (gateStep: Int, attributes: JSONObject, sections: JSONObject) {
        do throws(JSONError) {
            let root = JSONCursor(root: try JSONValue(parsing: text.utf8, file: file), file: file)
            var sections = try root.object()
            sections["attributes"] = nil
            return (
                try ScheduleFile.pipelineGate(in: root).pipeline?.step ?? 0,
                try root.optional("attributes")?.object() ?? [:], sections
            )
        } catch {
            throw .json(error)
        }
    }

    private static func pack(_ decisions: [Decision], bitsPerGene: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: (decisions.count * bitsPerGene + 7) / 8)
        for (gene, decision) in decisions.enumerated() {
            for bit in 0..<bitsPerGene where decision.rawValue >> UInt8(bit) & 1 == 1 {
                let position = gene * bitsPerGene + bit
                bytes[position / 8] |= 1 << UInt8(position % 8)
            }
        }
        return bytes
    }

    private static func unpack(
        _ reader: inout ByteReader, count: Int, bitsPerGene: Int
    ) throws(SchedulesError) -> [Decision] {
        let start = reader.offset
        let bytes = Array(try reader.take((count * bitsPerGene + 7) / 8, "a schedule's genes"))
        func bits(_ range: Range<Int>) -> UInt8 {
            range.reversed().reduce(0) { $0 << 1 | bytes[$1 / 8] >> UInt8($1 % 8) & 1 }
        }
        var decisions: [Decision] = []
        decisions.reserveCapacity(count)
        for gene in 0..<count {
            let value = bits(gene * bitsPerGene..<(gene + 1) * bitsPerGene)
            guard let decision = Decision(rawValue: value) else {
                throw reader.failure("gene \(gene): expected 0 or 1, found \(value)", at: start)
            }
            decisions.append(decision)
        }
        guard bits(count * bitsPerGene..<bytes.count * 8) == 0 else {
            throw reader.failure("bits set beyond the last gene", at: start)
        }
        return decisions
    }
}
