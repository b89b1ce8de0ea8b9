import Foundation
import History
import Messages
import Schedules

/// The images of the sheet: a few prompts, uncached and under three members of the front, made by one worker at the
/// end.
struct Rendering {
    /// No task of the history has this number.
    let taskID: Int64 = -1
    /// The front's members on the sheet, slow to fast.
    let members: [FrontRecord]
    /// What a worker is asked to do; candidate 0 is the uncached reference.
    let assignment: Assignment
    private let images: [ImageKey]

    static let promptCount = 6

    /// The size of the task: images times candidates.
    var units: Double { Double(images.count * assignment.candidates.count) }

    /// Plans the sheet.
    init(front: [FrontRecord], calibration: Calibration) throws {
        members = Self.members(of: front)
        images = (0..<min(Self.promptCount, calibration.prompts.count)).map { ImageKey(prompt: $0, seed: 0) }
        var assignment = Assignment()
        assignment.taskID = -1
        assignment.leaseEpoch = 1
        assignment.kind = .render
        var uncached = AssignedCandidate()
        uncached.genome = Data(Schedule(shape: calibration.shape).genome.bytes)
        uncached.geneCount = UInt32(calibration.shape.geneCount)
        assignment.candidates = [uncached]
        for member in members {
            var candidate = uncached
            candidate.candidateID = member.candidateID
            candidate.genome = Data(try calibration.history.search.candidate(member.candidateID).genome)
            assignment.candidates.append(candidate)
        }
        assignment.items = images.map(PromptSeed.init)
        assignment.returnImages = true
        self.assignment = assignment
    }

    /// The members nearest to three speed-ups, each faster than the one before by the same factor, up to the fastest or
    /// 4x.
    ///
    /// Beyond that little is left of most images.
    static func members(of front: [FrontRecord]) -> [FrontRecord] {
        func speedup(_ point: FrontRecord) -> Double { point.speedup ?? 1 / point.cost }
        let fastest = min(front.map(speedup).max() ?? 1, 4)
        var members: [FrontRecord] = []
        for share in [1.0 / 3, 2.0 / 3, 1] {
            let wanted = log(max(fastest, 1)) * share
            let nearest = front.min { abs(log(speedup($0)) - wanted) < abs(log(speedup($1)) - wanted) }
            if let nearest, !members.contains(nearest) { members.append(nearest) }
        }
        return members
    }

    /// True if an earlier end of the run has made these images already.
    func isStored(in calibration: Calibration) throws -> Bool {
        try assignment.candidates.allSatisfy { candidate in
            let id = candidate.candidateID == 0 ? nil : candidate.candidateID
            let stored = try calibration.history.results.thumbnails(of: id, run: calibration.runID).map(\.image)
            return Set(images).isSubset(of: stored)
        }
    }

    /// Keeps the images that came back as thumbnails.
    func store(_ result: Messages.TaskResult, in served: any ServedRun) throws {
        for image in result.images where image.hasPng {
            let key = ImageKey(prompt: Int(image.promptIndex), seed: image.seed)
            guard images.contains(key), assignment.candidates.contains(where: { $0.candidateID == image.candidateID })
            else { continue }
            try served.history.results.storeThumbnail(
                Array(image.png), of: image.candidateID == 0 ? nil : image.candidateID, image: key,
                run: served.runID)
        }
    }
}
