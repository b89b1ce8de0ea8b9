import ModelConfiguration

extension Schedule {
    /// The schedule carried over to another number of steps or blocks of the same kinds.
    ///
    /// Every step takes over the decisions of the step at the same share of the denoising, and every block those of the
    /// block at the same share of the depth, among blocks of its kind: place *i* of *n* takes place
    /// *floor((i + 1/2) m / n)* of *m*. The resolution has no part in it, nor has the variant of the family: components
    /// keep their names. A gate step moves with its step.
    ///
    /// - Parameter target: The blocks and steps to carry it over to.
    /// - Returns: The schedule; the same decisions where both shapes are equal.
    /// - Throws: ``SchedulesError/transfer(from:to:)`` where the target has a kind of block that the schedule says
    ///   nothing about.
    public func transferred(to target: ScheduleShape) throws(SchedulesError) -> Schedule {
        func place(_ index: Int, of count: Int, among sourceCount: Int) -> Int {
            (2 * index + 1) * sourceCount / (2 * count)
        }
        var sourceBlocks: [Int] = []
        for block in 0..<target.blockCount {
            let kind = target.blocks[block]
            let sources = shape.blocks.indices.filter { shape.blocks[$0] == kind }
            let targets = target.blocks.indices.filter { target.blocks[$0] == kind }
            guard !sources.isEmpty, let position = targets.firstIndex(of: block) else {
                throw .transfer(from: "\(shape)", to: "\(target)")
            }
            sourceBlocks.append(sources[place(position, of: targets.count, among: sources.count)])
        }
        var decisions: [Decision] = []
        decisions.reserveCapacity(target.geneCount)
        for step in 0..<target.stepCount {
            let source = place(step, of: target.stepCount, among: shape.stepCount)
            for block in 0..<target.blockCount {
                for slot in 0..<BlockKind.componentCount {
                    decisions.append(self[shape.index(step: source, block: sourceBlocks[block], slot: slot)])
                }
            }
        }
        let gate = gateStep.map { max(1, ($0 * target.stepCount + shape.stepCount / 2) / shape.stepCount) }
        return Schedule(shape: target, decisions: decisions, name: name, gateStep: gate)
    }
}
