import FoundationEssentials
import Messages
import SwiftProtobuf

/// One message of each kind, with every field set.
enum Samples {
    static let digest = Data(1...32)

    static let registration = Registration.with {
        $0.sessionID = Data(1...16)
        $0.engineVersion = "1.2.3"
        $0.workerName = "rack 4"
        $0.host = "node17"
        $0.cpu = "Xeon"
        $0.blas = "OpenBLAS 0.3.21 SkylakeX"
        $0.threads = 8
        $0.modelHash = "ab12"
        $0.walltimeLeftSeconds = 3_600
        $0.imageModelHash = "cd34"
    }

    static let taskResult = TaskResult.with {
        $0.taskID = 7
        $0.leaseEpoch = 3
        $0.taskSeconds = 12.5
        $0.images = [
            .with {
                $0.candidateID = 41
                $0.promptIndex = 5
                $0.seed = -9
                $0.scores = ["clip": 0.25, "image-reward": .nan, "psnr": .infinity]
                $0.denoiseSeconds = 3.5
                $0.referenceSeconds = 7
                $0.decodeSeconds = 0.5
                $0.png = Data([0x89, 0x50, 0x4E, 0x47])
            },
            .with { $0.candidateID = 42 },
        ]
        $0.seal()
    }

    static let fromWorker: [WorkerMessage.Body] = [
        .registration(registration),
        .taskRequest(.with { $0.walltimeLeftSeconds = 60 }),
        .heartbeat(
            .with {
                $0.taskID = 7
                $0.imagesDone = 2
                $0.imagesTotal = 30
                $0.load = 1.5
            }),
        .taskResult(taskResult),
        .taskFailure(
            .with {
                $0.taskID = 7
                $0.leaseEpoch = 3
                $0.candidateID = 41
                $0.reason = "image is not finite"
                $0.crashed = true
            }),
        .goodbye(.with { $0.reason = "walltime" }),
        .canary(
            .with {
                $0.values = [0.5, -1, .nan]
                $0.seconds = 2
            }),
        .probe(.with { $0.engineVersion = "1.2.3" }),
        .blobRequest(
            .with {
                $0.sha256 = digest
                $0.offset = 1 << 33
            }),
    ]

    static let assignment = Assignment.with {
        $0.taskID = 7
        $0.leaseEpoch = 3
        $0.kind = .evaluate
        $0.candidates = [
            .with {
                $0.candidateID = 41
                $0.genome = Data([0xFF, 0x80])
                $0.geneCount = 9
            }
        ]
        $0.items = [
            .with {
                $0.promptIndex = 5
                $0.seed = -9
            }
        ]
        $0.measureLatency = true
        $0.returnImages = true
        $0.leaseSeconds = 30
    }

    static let welcome = Welcome.with {
        $0.runID = "7f3a"
        $0.heartbeatSeconds = 2
        $0.settings = .with {
            $0.modelHash = "ab12"
            $0.stepCount = 20
            $0.height = 256
            $0.width = 256
            $0.guidanceScale = 4.5
            $0.negativePrompt = "blurred"
            $0.scorers = ["clip", "image-reward"]
        }
        $0.prompts = [
            .with {
                $0.index = 5
                $0.text = "a red cube"
            }
        ]
        $0.embeddings = .with {
            $0.sha256 = digest
            $0.byteCount = 1 << 40
        }
    }

    static let refusal = Refusal.with {
        $0.reason = "another model"
        $0.retry = true
    }

    static let fromCoordinator: [CoordinatorMessage.Body] = [
        .refusal(refusal),
        .welcome(welcome),
        .assignment(assignment),
        .acknowledgement(
            .with {
                $0.taskID = 7
                $0.leaseEpoch = 3
                $0.accepted = true
            }),
        .wait(.with { $0.retrySeconds = 5 }),
        .finish(.with { $0.reason = "all generations done" }),
        .cancel(
            .with {
                $0.taskID = 7
                $0.leaseEpoch = 3
            }),
        .probeReply(
            .with {
                $0.runID = "7f3a"
                $0.engineVersion = "1.2.3"
                $0.modelHash = "ab12"
                $0.workers = 4
            }),
        .blobChunk(
            .with {
                $0.sha256 = digest
                $0.offset = 1 << 33
                $0.content = Data([1, 2, 3])
            }),
    ]

    /// Encodes an envelope of any version: the version, then the given fields.
    static func envelope(version: UInt8, _ fields: [(number: UInt8, content: [UInt8])]) -> [UInt8] {
        [0x08, version] + fields.flatMap { [$0.number << 3 | 2, UInt8($0.content.count)] + $0.content }
    }
}
