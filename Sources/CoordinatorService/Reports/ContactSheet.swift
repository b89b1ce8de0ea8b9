import Foundation
import History
import Messages
import Schedules

/// The images of the contact sheet: a few prompts, uncached and under three members of the front, made by one worker at
/// the end of a run.
struct ContactSheet {
    static let promptCount = 6

    /// The front's members on the sheet, slow to fast.
    let members: [FrontRecord]
    /// The request to a worker; candidate 0 is the uncached reference.
    let assignment: Assignment
    private let images: [ImageKey]

    /// Images times candidates.
    var units: Double { Double(images.count * assignment.candidates.count) }

    init(front: [FrontRecord], context: RunContext) throws {
        members = Self.members(of: front)
        images = (0..<min(Self.promptCount, context.prompts.count)).map { ImageKey(prompt: $0, seed: 0) }
        var assignment = Assignment()
        assignment.kind = .render
        var uncached = AssignedCandidate()
        uncached.genome = Data(Schedule(shape: context.shape).genome.bytes)
        uncached.geneCount = UInt32(context.shape.geneCount)
        assignment.candidates = [uncached]
        for member in members {
            var candidate = uncached
            candidate.candidateID = member.candidateID
            candidate.genome = Data(try context.history.search.candidate(member.candidateID).genome)
            assignment.candidates.append(candidate)
        }
        assignment.items = images.map(PromptSeed.init)
        assignment.returnImages = true
        self.assignment = assignment
    }

    /// The members nearest to three speed-ups that increase by equal factors up to the fastest, or 4x at most: beyond
    /// that, little is left of most images.
    static func members(of front: [FrontRecord]) -> [FrontRecord] {
        func speedup(_ point: FrontRecord) -> Double { point.speedup ?? 1 / point.cost }
        let fastest = min(front.map(speedup).max() ?? 1, 4)
        var members: [FrontRecord] = []
        for share in [1.0 / 3, 2.0 / 3, 1] {
            let target = log(max(fastest, 1)) * share
            let nearest = front.min { abs(log(speedup($0)) - target) < abs(log(speedup($1)) - target) }
            if let nearest, !members.contains(nearest) { members.append(nearest) }
        }
        return members
    }

    /// Whether the history holds these images already, from an earlier end of the run.
    func isStored(in context: RunContext) throws -> Bool {
        try assignment.candidates.allSatisfy { candidate in
            let id = candidate.candidateID == 0 ? nil : candidate.candidateID
            let stored = try context.history.results.thumbnails(of: id, run: context.runID).map(\.image)
            return Set(images).isSubset(of: stored)
        }
    }

    /// Stores the images of a result as thumbnails.
    func store(_ result: Messages.TaskResult, in context: RunContext) throws {
        for image in result.images where image.hasPng {
            let key = ImageKey(prompt: Int(image.promptIndex), seed: image.seed)
            guard images.contains(key), assignment.candidates.contains(where: { $0.candidateID == image.candidateID })
            else { continue }
            try context.history.results.storeThumbnail(
                Array(image.png), of: image.candidateID == 0 ? nil : image.candidateID, image: key,
                run: context.runID)
        }
    }
}
