import Basics
import Evolution
import Foundation
import History
import Messages
import ModelConfiguration
import Schedules

/// An image in which a worker measures what reuse changes, before the search begins.
struct ReuseMeasurement: CustomStringConvertible {
    /// Position among the images to be measured.
    let index: Int
    let image: ImageKey
    let shape: ScheduleShape

    /// Number of uncached images that take as long.
    var units: Double { shape.reuseMeasurementImages }

    var description: String { "reuse errors of prompt \(image.prompt), seed \(image.seed)" }

    /// The request to a worker.
    var assignment: Assignment {
        var assignment = Assignment()
        assignment.kind = .measureReuse
        assignment.items = [PromptSeed(image)]
        return assignment
    }

    /// The reuse errors in a worker's result.
    ///
    /// - Throws: `EvolutionError.reuseErrors` for anything but one finite value for every chain, step and source.
    func errors(in result: Messages.TaskResult) throws(EvolutionError) -> ReuseErrors {
        guard let values = [Float](littleEndian: result.reuseErrors) else {
            throw .reuseErrors(problem: "\(result.reuseErrors.count) bytes; expected 32-bit floats")
        }
        return try ReuseErrors(shape: shape, values: values)
    }
}

extension RunConfiguration {
    /// Whether the search begins with measured reuse errors.
    var measuresReuse: Bool { preset == .standard || seedings.contains(.calibrated) }

    /// Sources of the seed population.
    var seedings: [Seeding] { seeding ?? (preset == .standard ? [.calibrated] : [.fora, .random]) }
}

extension RunContext {
    /// The images in which reuse is measured, spread evenly over those of an evaluation.
    var reuseMeasurements: [ReuseMeasurement] {
        let images = images
        let count = min(configuration.measuredImages, images.count)
        return (0..<count).map {
            ReuseMeasurement(index: $0, image: images[$0 * images.count / count], shape: shape)
        }
    }

    /// What is known before the search: the mean of the measured reuse errors, and costs.
    ///
    /// - Parameter costTable: The run's cost table, if a worker has measured one.
    /// - Returns: Nil while a measurement is missing.
    /// - Throws: `HistoryError`, `EvolutionError`.
    func searchBasis(costTable: CostTable?) throws -> SearchBasis? {
        let measured = try history.runs.reuseErrors(of: runID)
        guard Set(measured.map(\.image)).isSuperset(of: reuseMeasurements.map(\.image)) else { return nil }
        let cost: ScheduleCost
        if configuration.cost == .macs {
            cost = try ScheduleCost(multiplyAdds: model.architecture, shape: shape)
        } else if let costTable {
            cost = try ScheduleCost(table: costTable, shape: shape)
        } else {
            return nil
        }
        let errors = try ReuseErrors(averaging: measured.map { try ReuseErrors(shape: shape, values: $0.values) })
        let reference = Calibration.reference(configuration.quality)
        return SearchBasis(errors: errors, cost: cost, reference: [reference.cost, -reference.quality])
    }
}

extension Calibration {
    /// Images whose reuse errors are still to be measured.
    func openMeasurements() throws -> [ReuseMeasurement] {
        guard isMeasuring else { return [] }
        let done = Set(try history.runs.reuseErrors(of: runID).map(\.image))
        return context.reuseMeasurements.filter { !done.contains($0.image) }
    }

    /// Stores reuse errors that a worker has measured.
    func record(
        _ errors: ReuseErrors, of measurement: ReuseMeasurement, from worker: Int64, seconds: Double
    ) throws {
        try history.runs.insertReuseErrors(
            MeasuredReuseErrors(
                image: measurement.image, values: errors.values, workerID: worker, seconds: seconds,
                imageEquivalents: measurement.units), of: runID)
    }
}
