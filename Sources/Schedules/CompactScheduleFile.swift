import JSON

/// A front in one small file: any number of schedules of one shape, bit-packed, with what was measured of each.
///
/// Integers are little-endian; a *text* is its number of bytes (32 bits) and then UTF-8.
///
/// | bytes | what |
/// |---|---|
/// | 0-7 | the signature 89 45 43 41 44 0D 0A 1A (hexadecimal; "ECAD" between bytes that text tools damage) |
/// | 8-9 | the version, 1 |
/// | 10 | bits per gene, 1 to 8 |
/// | 11 | 1 if the measurement settings are known, 0 if not |
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
/// | text | JSON object: `attributes` and the sections beside `cache_schedule`, without `metrics` |
/// | (genes x bits + 7) / 8 | the genes in published order, gene 0 in the lowest bits of the first byte; 0 reuse, 1 recompute |
///
/// Genes have a width of their own so that later kinds of decision need no new layout; a value that this version does
/// not know is refused.
public struct CompactScheduleFile: Hashable, Sendable {
    /// A schedule and what was measured of it.
    public struct Entry: Hashable, Sendable {
        /// The decisions.
        public let schedule: Schedule
        /// The measured cost; nil if not known.
        public let cost: Double?
        /// The measured quality; nil if not known.
        public let quality: Double?
        /// Descriptive numbers (`attributes` of published files).
        public let attributes: JSONObject
        /// What published files hold beside `cache_schedule`, without `metrics`.
        public let sections: JSONObject

        /// Makes an entry; measurements that are not finite count as not known.
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
    /// What the costs are: `latency`, `measured` or `macs`; empty if none is known.
    public let costName: String
    /// What the qualities are, such as `psnr`; empty if none is known.
    public let qualityName: String
    /// Where the schedules come from, in words.
    public let provenance: String
    /// ``MeasurementSettings/hash`` of what the measurements hold for; nil if not known.
    public let settingsHash: String?

    /// The blocks and steps of every schedule.
    public var shape: ScheduleShape { entries[0].schedule.shape }

    /// Makes a file.
    ///
    /// - Parameters:
    ///   - entries: The schedules.
    ///   - costName: What the costs are.
    ///   - qualityName: What the qualities are.
    ///   - provenance: Where the schedules come from.
    ///   - settings: What the measurements hold for.
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
        guard let first = entries.first else { throw .compactContents(problem: "it needs at least one schedule") }
        if let other = entries.first(where: { $0.schedule.shape != first.schedule.shape }) {
            throw .compactContents(
                problem: "all schedules need one shape, found \(first.schedule.shape) and \(other.schedule.shape)")
        }
        self.entries = entries
        self.costName = costName
        self.qualityName = qualityName
        self.provenance = provenance
        self.settingsHash = settingsHash
    }

    /// Refuses a file whose measurements hold for other settings; one that does not say for which passes.
    ///
    /// - Parameters:
    ///   - settings: The settings to be used with.
    ///   - file: What an error message calls the file.
    /// - Throws: ``SchedulesError/settingsMismatch(file:expected:found:)``.
    public func check(_ settings: MeasurementSettings, file: String) throws(SchedulesError) {
        guard let settingsHash, settingsHash != settings.hash else { return }
        throw .settingsMismatch(file: file, expected: settings.hash, found: settingsHash)
    }
}
