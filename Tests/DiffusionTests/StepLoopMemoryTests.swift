import CAllocations
import Diffusion
import Schedules
import Tensors
import Testing

@Suite struct StepLoopMemoryTests {
    /// In a separate process with one thread, because OpenBLAS allocates for every multi-threaded product.
    @Test func pixartStepLoopDoesNotAllocate() async {
        await #expect(processExitsWith: .success) { try expectNoAllocations("alpha-small") }
    }

    @Test func fluxStepLoopDoesNotAllocate() async {
        await #expect(processExitsWith: .success) { try expectNoAllocations("flux-small") }
    }
}

private func expectNoAllocations(_ fixture: String) throws {
    BLAS.setThreadCount(1)
    let engine = try Engine(fixture, maxLength: 9)
    let session = try engine.session(images: 2, steps: 8)
    let plan = try ExecutionPlan(engine.periodic(2, steps: 8))
    let prompts = Array(engine.prompts.prefix(2))
    var counts = [UInt](repeating: 0, count: 8)
    for _ in 0..<2 {
        session.drawNoise(seeds: [1, 2])
        try session.denoise(prompts: prompts, negative: engine.negative, plan: plan) {
            counts[$0] = allocation_count()
        }
    }
    // After the warm-up run, the count must not increase from step to step.
    #expect(Set(counts).count == 1, "\(zip(counts, counts.dropFirst()).map { $1 - $0 }) allocations by step")
    #expect(counts[0] > 0, "allocations are not counted in this process")
}
