import Basics
import Evolution
import ModelConfiguration
import Prompts

extension RunConfiguration {
    /// All keys, in the order of the documentation and of the resolved configuration.
    static let keys: [ConfigurationKey] =
        modelKeys + promptKeys + objectiveKeys + scorerKeys + searchKeys + stopKeys + taskKeys + thumbnailKeys
        + directoryKeys

    private static let modelKeys: [ConfigurationKey] = [
        .key("model.path", \.modelPath, .path, isRequired: true, "Model directory in the diffusers layout."),
        .key("model.steps", \.stepCount, .integer(1...1000), "Denoising steps."),
        .optional(
            "model.height", \.height, .integer(1...16384), absence: "the model's native height",
            "Image height in pixels."),
        .optional(
            "model.width", \.width, .integer(1...16384), absence: "the model's native width", "Image width in pixels."),
        .optional(
            "model.guidance_scale", \.guidanceScale, .number(Guidance.scales),
            absence:
                "`\(Guidance.classifierFree.defaultScale)` for PixArt, `\(Guidance.distilled.defaultScale)` for FLUX",
            """
            Guidance scale: of classifier-free guidance for PixArt, where 1 or less disables it; an input of the \
            transformer for FLUX.
            """),
        .key(
            "model.engine", \.arithmetic.engine, .choice(),
            """
            Program that computes the images, the same on all workers: `ecad-worker` (`native`), or `ecad-torch-worker` \
            with diffusers and PyTorch (`torch`). Their results are not the same numbers.
            """),
        .key(
            "model.precision", \.arithmetic.precision, .choice(),
            """
            Number format of the matrix products in transformer and decoder, the same on all workers; with the engine \
            `native`, `bfloat16` requires processors with AVX512_BF16.
            """),
    ]

    private static let directoryKeys: [ConfigurationKey] = [
        .optional(
            "run.directory", \.runDirectory, .path, isInternal: true,
            "Run directory; files that have moved together with it are found beside it.")
    ]

    private static let promptKeys: [ConfigurationKey] = [
        .key(
            "prompts.calibration", \.promptsPath, .path, isRequired: true,
            """
            Calibration prompts: one per line, a CSV or TSV table with a column `prompt`, `caption` or `text` \
            (PartiPrompts, DrawBench), or JSON (ImageReward, COCO captions, MJHQ-30K).
            """),
        .optional(
            "prompts.format", \.promptsFormat, .choice(), absence: "by file name and content",
            "Format of `prompts.calibration`; needed for lines that begin with `[` or `{` or look like a table's header."
        ),
        .key(
            "prompts.seeds_per_prompt", \.seedsPerPrompt, .integer(1...1000),
            "Images per prompt, with seeds 0, 1, ..."),
        .key(
            "prompts.negative", \.negativePrompt, .string,
            """
            Negative prompt of classifier-free guidance; only allowed for PixArt with a `model.guidance_scale` above 1.
            """),
        .optional(
            "prompts.embeddings", \.embeddingsPath, .path, absence: "every worker embeds the prompts itself",
            "Prompt embeddings, from `ecad embed`; workers then need no text encoders."),
        .optional(
            "prompts.embeddings_sha256", \.embeddingsSHA256, .string, isInternal: true,
            "SHA-256 of `prompts.embeddings`, which must not change during a run."),
    ]

    private static let objectiveKeys: [ConfigurationKey] = [
        .key(
            "objectives.cost", \.cost, .choice(),
            """
            First objective, relative to the uncached model: denoising seconds modelled by one cost table (`latency`), \
            denoising seconds measured side by side (`measured`), or multiply-adds (`macs`).
            """),
        .optional(
            "objectives.cost_table", \.costTablePath, .path, absence: "measured by the run's first worker",
            "Cost table for the cost `latency`, from `ecad bench model -o`."),
        .key(
            "objectives.quality", \.quality, .choice(former: ["image-reward-kept": "image-reward-clipped"]),
            """
            Second objective, a score of the images; larger is better. Relative to the uncached image: `psnr` (dB), \
            `ssim`, `latent-error` (minus the relative error of the final latents). For the prompt: `image-reward`, \
            `image-reward-clipped` (at most the reward of the uncached image, so that lucky images do not compensate for \
            degraded ones), `clip` (100 times the cosine similarity). All other available scores are recorded as well.
            """),
    ]

    private static let scorerKeys: [ConfigurationKey] = ScorerKind.modelled.flatMap { scorer -> [ConfigurationKey] in
        let name = "scorers.\(scorer.rawValue)"
        return [
            .optional(
                name, \.scorerPaths[scorer], .path, absence: "not scored",
                """
                Model directory of the scorer `\(scorer.rawValue)`; workers need a copy next to their model or with \
                `--scorer`.
                """),
            .optional(
                "\(name)_fingerprint", \.scorerFingerprints[scorer], .string, isInternal: true,
                "Fingerprint of `\(name)`, which must not change during a run."),
        ]
    }

    private static let searchKeys: [ConfigurationKey] = [
        .key(
            "search.preset", \.preset, .choice(),
            """
            Rules of the search: `default` solves for schedules of least predicted error, from reuse errors that workers \
            measure first; `nsga2` breeds them; `ecad-paper` breeds by the rules of the ECAD paper.
            """),
        .key(
            "search.mode", \.mode, .choice(),
            "`steady-state` has no barrier between generations, so that no worker is idle."),
        .key(
            "search.population", \.population, .integer(leastPopulation...10000),
            """
            Candidates per generation. The preset `default` learns after each generation: small ones need fewer images, large \
            ones keep more workers busy.
            """),
        .key(
            "search.generations", \.generations, .integer(1...100_000),
            "Generations, including the seed population; only allowed without `search.budget_images`."
        ).written { $0.budgetImages == nil },
        .optional(
            "search.budget_images", \.budgetImages, .integer(1...1_000_000_000),
            """
            What the run may spend, in images, instead of a number of generations; the last generation may be smaller. \
            Counted are the images of all candidates and the measurement of reuse errors. Of this key and \
            `search.generations`, one given with `--set` replaces the other in the file.
            """),
        .key("search.seed", \.seed, .integer(0...UInt64(Int32.max)), "Seed of all random decisions of the search."),
        .optional(
            "search.seeding", \.seeding, .list(),
            absence: "`[\"calibrated\"]`, or `[\"fora\", \"random\"]` with other presets",
            """
            Sources of the seed population: `default` is the uncached schedule, `calibrated` schedules of least predicted \
            error.
            """),
        .key(
            "search.measured_images", \.measuredImages, .integer(1...256),
            """
            Images in which workers measure reuse errors before the search begins; each takes as long as half as many \
            uncached images as there are steps. Only allowed with `search.preset = "default"` or the seeding `calibrated`.
            """),
        .optional(
            "search.warm_start", \.warmStart, .path,
            """
            Run directory or schedule file whose schedules, mapped to this model's steps and blocks, come first in the \
            seed population.
            """),
    ]

    private static let stopKeys: [ConfigurationKey] = [
        .optional(
            "stop.evaluations", \.stop.evaluations, .integer(1...1_000_000_000),
            "Ends the run after this many evaluated candidates."),
        .optional(
            "stop.seconds", \.stop.seconds, .number(1...1e9),
            "Begins no further generation once a coordinator has been running for this many seconds; what is in work is finished first."
        ),
        .optional(
            "stop.flat_generations", \.stop.flatGenerations, .integer(1...100_000),
            "Ends the run once the hypervolume has grown by at most `stop.flat_gain` in this many generations."),
        .key(
            "stop.flat_gain", \.stop.flatGain, .number(0...1),
            "Growth of the hypervolume, relative to its former value; only allowed with `stop.flat_generations`."),
    ]

    private static let taskKeys: [ConfigurationKey] = [
        .key(
            "tasks.images", \.imagesPerTask, .integer(1...256),
            "Images denoised as one batch; results depend on it in their last bits."),
        .optional(
            "tasks.schedules", \.schedulesPerTask, .integer(1...TaskSize.limit), absence: "by `tasks.seconds`",
            "Schedules per task."),
        .key(
            "tasks.seconds", \.secondsPerTask, .number(0.01...86_400),
            """
            Intended duration of a task: the number of schedules per task follows from the durations of earlier tasks, \
            with at least two tasks per worker. Only allowed without `tasks.schedules`.
            """),
        .key(
            "tasks.recheck_share", \.recheckShare, .number(0...1),
            """
            Fraction of tasks that a second worker recomputes, to detect faulty workers; with 1, the search uses a result \
            only once it is confirmed, as long as another worker is connected.
            """),
    ]

    private static let thumbnailKeys: [ConfigurationKey] = [
        .key(
            "thumbnails.prompts", \.thumbnailPrompts, .integer(0...32),
            """
            Prompts, the first ones, whose images (seed 0) are kept for members of the front, uncached and cached; 0 keeps \
            none. Workers send them with their measurements, which costs no denoising.
            """),
        .key(
            "thumbnails.pixels", \.thumbnailPixels, .integer(16...1024),
            "Longest edge of stored images in pixels; larger ones are reduced."),
        .key(
            "thumbnails.members", \.thumbnailMembers, .integer(1...10000),
            """
            Members of the front that keep their images at most, evenly spread over a longer one. Those of schedules that \
            leave the front are deleted.
            """),
        .key(
            "thumbnails.megabytes", \.thumbnailMegabytes, .number(0.01...10_000),
            "Megabytes of the images of members at most."),
    ]

    /// The Markdown table of all keys that `cluster/README.md` contains.
    public static var keyTable: String {
        let rows = keys.map { "| `\($0.name)` | \($0.values) | \($0.defaultValue) | \($0.summary) |" }
        return (["| key | values | default | meaning |", "|---|---|---|---|"] + rows).map { $0 + "\n" }.joined()
    }
}
