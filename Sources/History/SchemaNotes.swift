// Notes on the tables and views of the schema.
extension SchemaGuide {
    /// What the schema does not say about an entity.
    struct Note {
        /// Nil for views, whose summary is part of the schema.
        let summary: String?
        var columns: [String: String] = [:]
    }

    /// Parsed from ``tableNotes`` and ``viewNotes``: an entity per line without indentation, its columns below.
    static let notes: [String: Note] = {
        var notes: [String: Note] = [:]
        var current = ""
        for line in (tableNotes + "\n" + viewNotes).split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            let text = parts.count > 1 ? parts[1].drop { $0 == " " } : ""
            if line.hasPrefix(" ") {
                for name in parts[0].split(whereSeparator: { $0 == "," || $0 == " " }) {
                    notes[current]?.columns[String(name)] = String(text)
                }
            } else {
                current = String(parts[0])
                notes[current] = Note(summary: text.isEmpty ? nil : String(text))
            }
        }
        return notes
    }()

    private static let tableNotes = """
        schema_migrations: one row per schema version that the file has had
         version: schema version, also `PRAGMA user_version`
         name: what the version added
         applied_at: Unix seconds
        runs: one row per run; a run directory has one
         id: run
         name: base name of the run directory
         configuration: run configuration, TOML, all defaults resolved
         cost_objective: `latency`, `measured` or `macs`; minimised
         quality_objective: scorer; maximised
         shape: steps, blocks and components, JSON
         gene_count: genes of a genome: steps × blocks × components
         model_hash: fingerprint of the model files
         seed: seed of the search
         reference_cost, reference_quality: reference point of the hypervolume, in the units of `evaluations.cost` and `quality`
         status: `running`, `finished`, `stopped` or `failed`; a killed coordinator leaves `running`
         created_at: Unix seconds
         finished_at: Unix seconds; NULL while `running`
         evaluation_key: equal for runs in which equal images get equal scores
         canary: what a worker must compute to join, 32-bit floats, little-endian
        genes: one row per gene: what it stands for
         run_id: run
         gene: position in the genome, from 0
         step: denoising step, from 0
         block: transformer block, from 0
         component: `attn1`, `attn2`, `ff` and others, as in diffusers
        prompts: one row per prompt of the search and of each benchmark
         id: prompt
         run_id: run
         evaluation_set: `calibration` for the search, otherwise the name of the benchmark's prompt file
         prompt_index: position in the prompt file, from 0
         text: prompt
        workers: one row per name of a worker
         id: worker
         name: of its key, or as it calls itself
         host: host name
         cpu: processor model
         blas: BLAS library and kernel set
         threads: threads
         engine_version: release of the program
         first_seen, last_seen: Unix seconds
         connected_seconds, busy_seconds: seconds
         failures: attempts that failed on it
         quarantined_at: Unix seconds; NULL if trusted
         quarantine_reason: why its results are no longer used
         engine: `native` or `torch`
         device_class: equal where equal work takes equal time
        events: one row per event of a run
         seq: increasing number
         run_id: run; NULL if about all
         at: Unix seconds
         kind: kind of event
         text: sentence or JSON
        generations: one row per generation
         run_id: run
         number: from 0, the seed population
         search_state: state of the search, binary
         started_at, finished_at: Unix seconds
         hypervolume: of the front at its end, above the reference point
         evaluations: candidates evaluated for it
         wall_seconds: seconds, without those in which no coordinator ran
        candidates: one row per schedule
         id: candidate
         run_id: run
         generation: generation that bred it; NULL for a schedule that was only benchmarked, and for the uncached schedule if its scores are needed for losses alone
         label: name of a benchmarked schedule
         genome: gene *g* is bit *g* % 8, lowest first, of byte *g* / 8; 1 recomputes, 0 reuses
         genome_sha256: SHA-256 of the genome as ASCII 0 and 1
         canonical_hash: equal for genomes that generate the same images
         parent_a, parent_b: parents; NULL for seeds
         operator: `seed`, `solved`, `crossover`, `mutation`, `crossover+mutation` or `copy`; NULL for a benchmarked schedule
         origin: label of a seed such as `fora-3` or `random`, otherwise the operator; of a benchmarked schedule its source
         macs: multiply-adds per image
         gate_step: first step without guidance of a benchmarked TGATE schedule, from 0
         predicted_log_error: natural logarithm of the mean squared error of the images (pixels from 0 to 1), predicted by the error model when the candidate was proposed; in generation 0 up to a constant that is the same for all; NULL without an error model
         predicted_quality: the quality objective, predicted then; NULL in generation 0
         predicted_deviation: standard deviation of that prediction, in the unit of the quality objective
        evaluations: one row per candidate and prompt set, once all its images are measured
         id: evaluation
         candidate_id: candidate
         evaluation_set: `calibration`, or a benchmark's
         cost: first objective, relative to the uncached model
         quality: second objective: mean score of the images
         latency_ratio: measured denoising seconds / uncached seconds
         modelled_ratio: the same, predicted by the cost table
         macs: multiply-adds per image
         images: images measured
         denoise_seconds: seconds, sum over the images
         reference_seconds: seconds of the uncached model, sum over the images
         finished_at: Unix seconds
        tasks: one row per unit of work for a worker
         id: task
         run_id: run
         generation: generation; NULL for a benchmark and for the uncached schedule
         evaluation_set: `calibration`, or a benchmark's
         kind: `evaluate`
         state: `pending`, `leased`, `done` or `failed`
         shard: images of each candidate, JSON: [[prompt_index, seed], ...]
         images: candidates × images of the shard
         payload: unused
         attempts: leases so far
         failures: attempts that failed because of the task
         failure: reason of state `failed`
         worker_id: worker of the stored result
         seconds: seconds from start to result on that worker
         created_at, finished_at: Unix seconds
        task_candidates: one row per candidate of a task
         task_id: task
         candidate_id: candidate
        leases: one row per attempt at a task
         id: lease
         task_id: task
         worker_id: worker that held it
         epoch: number of the attempt, from 1
         leased_at, expires_at, ended_at: Unix seconds
         outcome: `done`, `superseded` (another worker was faster), `failed`, `expired` (no progress), `lost` (no message) or `returned` (the worker left)
        image_scores: one row per image and scorer
         candidate_id: candidate
         prompt_id: prompt
         seed: seed of the initial noise
         scorer: scorer
         value: score; higher is better: dB for `psnr`, 0 to 1 for `ssim`, minus the relative error for `latent-error`
        image_timings: one row per image and task
         candidate_id: candidate
         prompt_id: prompt
         seed: seed of the initial noise
         task_id: task
         worker_id: worker
         denoise_seconds: seconds
         reference_seconds: seconds of the uncached model on the same worker
         decode_seconds: seconds of the autoencoder
        thumbnails: one row per stored image
         id: image
         candidate_id: candidate; NULL for the uncached image
         prompt_id: prompt
         seed: seed of the initial noise
         png: PNG
        cost_tables: one row per cost table that a worker measured or the configuration named
         id: cost table
         run_id: run
         worker_id: worker; NULL if named by the configuration
         worker_class: processor, BLAS, threads, engine
         costs: seconds by phase and component for a batch, JSON
         uncached_seconds: seconds of the uncached model for a batch
         fit_error: median relative error of the fit
         is_objective: 1 for the table by which the run models latencies
         measured_at: Unix seconds
        reuse_errors: one row per image in which it was measured, before the search, what reuse changes
         run_id: run
         prompt_id: prompt
         seed: seed of the initial noise
         errors: by chain, step and source, 32-bit floats, little-endian
         worker_id: worker
         seconds: seconds from start to result on that worker
         image_equivalents: uncached images that take as long
         measured_at: Unix seconds
        evaluation_sets: one row per prompt set
         run_id: run
         name: `calibration`, or a benchmark's
         engine: `native` or `torch`, which computed all its images
         precision: of the products
        refusals: one row per reason for refusing a peer or a message
         run_id: run
         reason: one of a fixed set
         count: how often
         first_at, last_at: Unix seconds
        rechecks: one row per result that was computed again
         task_id: task
         worker_id: worker that computed it again
         checked_worker_id: worker of the stored result
         agrees: 1 if the scores agree
         largest_difference: of the scores, in the scorer's unit
         at: Unix seconds
        score_statistics: one row per candidate, prompt set and scorer
         candidate_id: candidate
         evaluation_set: `calibration`, or a benchmark's
         scorer: scorer
         images: images scored
         mean, standard_error: in the scorer's unit; the error of a single image is NULL
         p5: 5th percentile, interpolated linearly
         worst: lowest score
         worst_prompt_id: its prompt
        """

    private static let viewNotes = """
        pareto_front:
         run_id: run
         candidate_id: candidate
         generation: generation that bred it
         speedup: 1 / `latency_ratio`
         latency_ratio: time / uncached time: modelled if that is the objective, otherwise measured
         macs: multiply-adds per image
         quality: mean score of the quality objective
         images: images measured
         cost: cost objective
         measured_ratio: measured time / uncached time
        hypervolume_history:
         run_id: run
         generation: generation
         evaluations: candidates evaluated up to its end
         wall_seconds: seconds up to its end
         hypervolume: at its end
        lineage:
         candidate_id: candidate
         parent_id: parent; NULL for seeds
         operator: operator that bred the candidate
         origin: label of a seed such as `fora-3` or `random`, otherwise the operator
        front_ancestors:
         run_id: run
         candidate_id: member of the front
         ancestor_id: its ancestor; itself if it is a seed
         generation: of the ancestor
         origin: of the ancestor
         operator: of the ancestor
         is_seed: 1 if the ancestor has no parents
        gene_usage:
         run_id: run
         step: denoising step, from 0
         block: transformer block, from 0
         component: component
         recompute_share: share of the front's members that recompute it, 0 to 1
        error_model:
         run_id: run
         candidate_id: candidate
         generation: generation that bred it
         origin: label of a seed, or how the search found it
         predicted: quality, predicted when the candidate was proposed; NULL in generation 0
         measured: quality; NULL until it is evaluated
         residual: measured - predicted
         deviation: standard deviation of the prediction; 95 % of the residuals should be within 1.96 times it
         predicted_log_error: as in `candidates`
         log_error: natural logarithm of the mean squared error, from the mean PSNR
        latency_model_error:
         candidate_id: candidate
         modelled_ratio: predicted time / uncached time
         measured_ratio: measured time / uncached time
         relative_error: modelled / measured - 1
         evaluation_set: `calibration`, or a benchmark's
        candidate_scores:
         candidate_id: candidate
         scorer: scorer
         mean, standard_error: in the scorer's unit
         p5: 5th percentile
         worst: lowest score
         worst_prompt: its prompt
         images: images scored
         evaluation_set: `calibration`, or a benchmark's
        prompt_loss:
         run_id: run
         candidate_id: candidate
         prompt: prompt
         seed: seed of the initial noise
         scorer: scorer
         value: score
         uncached: score of the uncached image: 100 dB for `psnr`, 1 for `ssim`, 0 for `latent-error`, measured for others
         loss: `uncached` - `value`; NULL if the uncached schedule has no such score, as in searches of earlier releases
         evaluation_set: `calibration`, or a benchmark's
        worker_utilisation:
         worker_id: worker
         name: name
         evaluations: candidates of its finished tasks
         images: images of its finished tasks
         busy_seconds, connected_seconds: seconds
         utilisation: busy / connected, 0 to 1
         failures: attempts that failed on it
         engine: `native` or `torch`
         device_class: equal where equal work takes equal time
        measured_by:
         run_id: run
         candidate_id: candidate
         evaluation_set: `calibration`, or a benchmark's
         images: images that the worker measured
         worker: name
         engine, precision: what computed the images
         device_class: of the worker
        worker_failures:
         worker_id: worker
         name: name
         outcome: `failed`, `expired`, `lost` or `returned`
         leases: how many
         last_at: Unix seconds
         reason: of a task that was given up
        throughput:
         run_id: run
         minute: Unix seconds, start of the minute
         images: images whose results arrived
         images_per_second: images / 60 s
         workers: workers that delivered results
        cost_so_far:
         run_id: run
         generation: generation
         images: images up to its end
         worker_seconds: seconds of all workers up to its end
         wall_seconds: seconds up to its end
         hypervolume: at its end
        benchmark_scores:
         run_id: run
         schedule: name of the benchmarked schedule
         prompt_set: name of the benchmark
         scorer: scorer
         mean, standard_error: in the scorer's unit
         p5: 5th percentile
         worst: lowest score
         worst_prompt: its prompt
         images: images scored
         candidate_id: candidate
         engine, precision: what computed the images
        benchmark_summary:
         run_id: run
         schedule: name of the benchmarked schedule
         prompt_set: name of the benchmark
         scorer: scorer
         mean, standard_error: in the scorer's unit
         images: images scored
         speedup: 1 / `latency_ratio`
         latency_ratio: measured time / uncached time
         macs: multiply-adds per image
         engine, precision: what computed the images
        """
}
