import Evolution
import Foundation
import History

// How a run gets on: generation by generation, or without a barrier.
extension Calibration {
    /// Breeds a generation, the seeds first, and enters it with its tasks in the history.
    func beginGeneration() throws {
        let offspring = search.ask()
        guard !offspring.isEmpty else { return try end("no schedule can be bred that the population does not hold") }
        try enter(offspring, isContinued: false)
        isGenerationOpen = true
    }

    func proceedByGenerations() throws {
        while !isFinished, tasks.isEmpty {
            if isGenerationOpen {
                guard canEvaluate else { return }
                try settle(search.pending)
                try requirePopulation()
                try complete(generation)
                isGenerationOpen = false
            } else if let reason = endReason(next: generation + 1) {
                try end(reason)
            } else {
                try beginGeneration()
            }
        }
    }

    // MARK: - Steady state

    func proceedInSteadyState() throws {
        guard canEvaluate, !isFinished else { return }
        let open = Set(tasks.values.flatMap(\.candidateIDs))
        let done = search.pending.filter { candidateOfOffspring[$0.id].map { !open.contains($0) } ?? true }
        if !done.isEmpty {
            try settle(done)
            try history.setSearchState(encodedSearch, generation: generation, of: runID)
        }
        while hypervolumes.count < search.finishedGenerations { try complete(hypervolumes.count) }
        guard search.pending.isEmpty else { return }
        try requirePopulation()
        guard let reason = endReason(next: search.nextGeneration.number) else { return }
        try endSteadyState(reason)
    }

    /// In steady state, breeds what keeps one more worker busy.
    ///
    /// - Returns: Whether there are new tasks.
    func breedMore() throws -> Bool {
        guard configuration.mode == .steadyState, canEvaluate else { return false }
        let before = Set(tasks.keys)
        let taskSchedules = taskSize.schedules(
            of: configuration.population, images: images.count, imagesPerTask: configuration.imagesPerTask)
        // Children that have been evaluated before make no tasks.
        for _ in 0..<50 where !isFinished {
            let next = search.nextGeneration
            guard endReason(next: next.number) == nil else { return false }
            let left = configuration.stop.evaluations.map { $0 - candidateCount } ?? .max
            let offspring = search.breed(min(taskSchedules, next.room, left))
            guard !offspring.isEmpty else {
                // Results that are still out may bring something new.
                if search.pending.isEmpty, !search.population.isEmpty {
                    try endSteadyState("no schedule can be bred that the population does not hold")
                }
                return false
            }
            try enter(offspring, isContinued: true)
            try proceed()
            if !before.isSuperset(of: tasks.keys) { return true }
        }
        return false
    }

    private func endSteadyState(_ reason: String) throws {
        while hypervolumes.count <= generation { try complete(hypervolumes.count) }
        try end(reason)
    }

    // MARK: - Ends

    /// Enters in the history that a generation's results have been told to the search.
    private func complete(_ number: Int) throws {
        let seconds = (ContinuousClock.now - generationStart) / .seconds(1)
        let reference = Self.reference(configuration.quality)
        let hypervolume = Pareto.hypervolume(
            of: search.front.map(\.objectives), reference: [reference.cost, -reference.quality])
        try history.completeGeneration(
            number, of: runID, searchState: encodedSearch, hypervolume: hypervolume, wallSeconds: seconds)
        hypervolumes.append(hypervolume)
        secondsBefore += seconds
        generationStart = ContinuousClock.now
        // Empties the log into the database while nothing is due; a reader in the way only puts it off.
        _ = try history.checkpoint()
    }

    /// Why no further generation should be begun; nil as long as one should.
    private func endReason(next: Int) -> String? {
        if next >= configuration.generations { return "the last generation is complete" }
        let seconds = secondsBefore + (ContinuousClock.now - generationStart) / .seconds(1)
        return configuration.stop.reason(
            evaluations: candidateCount, seconds: seconds, hypervolumes: hypervolumes)
    }

    private func end(_ reason: String) throws {
        try history.recordEvent("ended", reason, run: runID)
        isFinished = true
    }

    private func requirePopulation() throws {
        guard search.population.isEmpty else { return }
        throw CoordinatorError.searchFailed(
            "no candidate of the first generation could be evaluated; see the table events")
    }
}
