import Basics
import JSON

/// A front in one small file: bit-packed schedules of one shape with their measured cost and quality.
///
/// Integers are little-endian; a *text* is its length in bytes (32 bits) followed by UTF-8.
///
/// | bytes | what |
/// |---|---|
/// | 0-7 | signature 89 45 43 41 44 0D 0A 1A (hexadecimal): "ECAD" between bytes that text-mode transfers damage |
/// | 8-9 | version, 1 |
/// | 10 | bits per gene, 1 to 8 |
/// | 11 | 1 if the measurement settings are known, else 0 |
/// | 12-43 | SHA-256 of the measurement settings (``MeasurementSettings``), zeros if not known |
/// | 44-45 | kind of blocks: 0 PixArt, 1 FLUX |
/// | 46-47 | number of blocks; of FLUX, double-stream blocks |
/// | 48-49 | number of FLUX single-stream blocks |
/// | 50-51 | number of denoising steps |
/// | 52-55 | number of schedules, at least 1 |
/// | 56- | three texts: name of the cost, name of the quality, provenance |
/// | then | the schedules |
/// | last 32 | SHA-256 of everything before |
///
/// Each schedule is:
///
/// | bytes | what |
/// |---|---|
/// | 2 | TGATE's gate step, 0 for none |
/// | 8 | measured cost, IEEE 754 binary64, NaN if not known |
/// | 8 | measured quality, likewise |
/// | text | name |
/// | text | JSON object: `attributes` and the sections other than `cache_schedule` and `metrics` |
/// | (genes x bits + 7) / 8 | the genes in published order, gene 0 in the lowest bits of the first byte; 0 reuse, 1 recompute |
///
/// The width of a gene leaves room for other decisions; unknown values are rejected.
public struct CompactScheduleFile: Hashable, Sendable {
    /// A schedule with its measured cost and quality.
    public struct Entry: Hashable, Sendable {
        /// The decisions.
        public let schedule: Schedule
        /// The measured cost; nil if not known.
        public let cost: Double?
        /// The measured quality; nil if not known.
        public let quality: Double?
        /// Descriptive numbers (`attributes` of published files).
        public let attributes: JSONObject
        /// Sections of the published file other than `cache_schedule` and `metrics`.
        public let sections: JSONObject

        /// Makes an entry; measurements that are not finite count as unknown.
        ///
        /// - Parameters:
        ///   - file: The schedule with its attributes and configuration; its metrics are left out.
        ///   - cost: The measured cost.
        ///   - quality: The measured quality.
        public init(_ file: ScheduleFile, cost: Double? = nil, quality: Double? = nil) {
            var sections = file.sections
            sections["metrics"] = nil
            self.init(
                schedule: file.schedule, cost: cost, quality: quality, attributes: file.attributes, sections: sections)
        }

        init(
            schedule: Schedule, cost: Double?, quality: Double?, attributes: JSONObject, sections: JSONObject
        ) {
            self.schedule = schedule
            self.cost = cost.flatMap { $0.isFinite ? $0 : nil }
            self.quality = quality.flatMap { $0.isFinite ? $0 : nil }
            self.attributes = attributes
            self.sections = sections
        }
    }

    /// The schedules, at least one, all of one shape.
    public let entries: [Entry]
    /// The kind of cost: `latency`, `measured` or `macs`; empty if unknown.
    public let costName: String
    /// The kind of quality, such as `psnr`; empty if unknown.
    public let qualityName: String
    /// A free description of the schedules' origin.
    public let provenance: String
    /// ``MeasurementSettings/hash`` under which the schedules were measured; nil if unknown.
    public let settingsHash: String?

    /// The blocks and steps of every schedule.
    public var shape: ScheduleShape { entries[0].schedule.shape }

    /// Makes a file.
    ///
    /// - Parameters:
    ///   - entries: The schedules.
    ///   - costName: The kind of cost.
    ///   - qualityName: The kind of quality.
    ///   - provenance: The schedules' origin.
    ///   - settings: The settings under which they were measured.
    /// - Throws: ``SchedulesError/compactContents(problem:)`` for no schedules or schedules of several shapes.
    public init(
        entries: [Entry], costName: String = "", qualityName: String = "", provenance: String = "",
        settings: MeasurementSettings? = nil
    ) throws(SchedulesError) {
        try self.init(
            entries: entries, costName: costName, qualityName: qualityName, provenance: provenance,
            settingsHash: settings?.hash)
    }

    init(
        entries: [Entry], costName: String, qualityName: String, provenance: String, settingsHash: String?
    ) throws(SchedulesError) {
        guard let first = entries.first else { throw .compactContents(problem: "no schedules; expected at least one") }
        if let other = entries.first(where: { $0.schedule.shape != first.schedule.shape }) {
            throw .compactContents(
                problem: "schedules of \(first.schedule.shape) and of \(other.schedule.shape); expected one shape")
        }
        self.entries = entries
        self.costName = costName
        self.qualityName = qualityName
        self.provenance = provenance
        self.settingsHash = settingsHash
    }

    /// Rejects a file that was measured under other settings; a file without settings passes.
    ///
    /// - Parameters:
    ///   - settings: The settings of the intended use.
    ///   - file: The file's name in errors.
    /// - Throws: ``SchedulesError/settingsMismatch(file:expected:found:)``.
    public func check(_ settings: MeasurementSettings, file: String) throws(SchedulesError) {
        guard let settingsHash, settingsHash != settings.hash else { return }
        throw .settingsMismatch(file: file, expected: settings.hash, found: settingsHash)
    }
}

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
    ///   - bytes: The bytes, not trusted.
    ///   - file: The file's name in errors.
    /// - Throws: ``SchedulesError/compactFile(file:byte:problem:)`` for other files, damaged ones and newer versions
    ///   of the format.
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
            throw header.failure("the checksum differs: the file is damaged or truncated", at: max(0, end))
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
            throw reader.failure("gate step \(gate) differs from the one in the schedule's details", at: start)
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
