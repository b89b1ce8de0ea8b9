import Foundation
import History
import Messages
import Schedules

/// The images of the sheet: a few prompts, uncached and under three members of the front, made by one worker at the end.
struct Rendering {
    /// No task of the history has this number.
    let taskID: Int64 = -1
    /// The front's members on the sheet, slow to fast.
    let members: [FrontRecord]
    /// What a worker is asked to do; candidate 0 is the uncached reference.
    let assignment: Assignment
    private let images: [ImageKey]

    static let promptCount = 6

    /// Chooses the members: near the quality end, in the middle, and the fastest.
    init(front: [FrontRecord], calibration: Calibration) throws {
        let last = front.count - 1
        var places: [Int] = []
        for place in [last / 4, last * 5 / 8, last] where place >= 0 && !places.contains(place) { places.append(place) }
        members = places.map { front[$0] }
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
            candidate.genome = Data(try calibration.history.candidate(member.candidateID).genome)
            assignment.candidates.append(candidate)
        }
        assignment.items = images.map(PromptSeed.init)
        assignment.returnImages = true
        self.assignment = assignment
    }

    /// Keeps the images that came back as thumbnails.
    func store(_ result: Messages.TaskResult, in calibration: Calibration) throws {
        for image in result.images where image.hasPng {
            let key = ImageKey(prompt: Int(image.promptIndex), seed: image.seed)
            guard images.contains(key), assignment.candidates.contains(where: { $0.candidateID == image.candidateID })
            else { continue }
            try calibration.history.storeThumbnail(
                Array(image.png), of: image.candidateID == 0 ? nil : image.candidateID, image: key,
                run: calibration.runID)
        }
    }
}
