// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let cSettings: [CSetting] = [.treatAllWarnings(as: .error)]

/// A system library: found by its header on the default path, or by pkg-config where the distribution hides it.
func systemLibrary(_ name: String, package: String, pkgConfig: String? = nil) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([package])])
}

/// A module and its tests, `Sources/Name` and `Tests/NameTests`; scripts/check-modules.py compares the dependencies of
/// both with their imports.
func module(
    _ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [], resources: [Resource] = [],
    tests testDependencies: [Target.Dependency] = []
) -> [Target] {
    let tests = [.byName(name: name)] + testDependencies
    return [
        .target(
            name: name, dependencies: dependencies, exclude: exclude, resources: resources, swiftSettings: swiftSettings
        ),
        .testTarget(name: "\(name)Tests", dependencies: tests, swiftSettings: swiftSettings),
    ]
}

/// A program: argument parsing and printing.
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies + ["ProgramSupport", argumentParser], swiftSettings: swiftSettings)
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let flyingSocks = Target.Dependency.product(name: "FlyingSocks", package: "FlyingFox")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")

// MARK: - Targets

let libraries: [Target] = [
    systemLibrary("COpenBLAS", package: "libopenblas-dev", pkgConfig: "openblas"),
    systemLibrary("CSodium", package: "libsodium-dev"),
    systemLibrary("CZeroMQ", package: "libzmq3-dev"),
    .target(name: "CJPEG", cSettings: cSettings, linkerSettings: [.linkedLibrary("jpeg")]),
    .target(name: "CPNG", cSettings: cSettings, linkerSettings: [.linkedLibrary("png")]),
    // Optimised in debug builds too: tests generate images.
    .target(name: "CKernels", cSettings: cSettings + [.unsafeFlags(["-O2"])]),
]

let modules: [Target] =
    module("Basics", ["CSodium"], tests: ["TestSupport"])
    + module("JSON", ["Basics"])
    + module("ModelConfiguration", ["Basics", "JSON"], tests: ["Basics", "JSON", "TestSupport"])
    + module(
        "Schedules", ["Basics", "JSON", "ModelConfiguration"],
        tests: ["Basics", "JSON", "ModelConfiguration", "TestSupport"])
    + module("Prompts", ["Basics", "JSON"], tests: ["TestSupport"])
    + module(
        "Evolution", ["Basics", "ModelConfiguration", "Schedules", protobuf], exclude: ["SavedSearch.proto"],
        tests: ["ModelConfiguration", "Schedules", "TestSupport"])
    + module(
        "Tensors", ["Basics", "CJPEG", "CKernels", "COpenBLAS", "CPNG", "JSON"],
        tests: ["Basics", "CKernels", "TestSupport"])
    + module(
        "Models", ["Basics", "ModelConfiguration", "Tensors"],
        tests: ["Basics", "ModelConfiguration", "Tensors", "TestSupport"])
    + module(
        "Diffusion", ["Basics", "ModelConfiguration", "Models", "Schedules", "Tensors"],
        tests: ["Basics", "CAllocations", "ModelConfiguration", "Models", "Schedules", "Tensors", "TestSupport"])
    + module(
        "Scoring", ["Basics", "COpenBLAS", "ModelConfiguration", "Models", "Prompts", "Tensors"],
        tests: ["Basics", "Prompts", "Tensors", "TestSupport"])
    + module(
        "Evaluations", ["Basics", "Diffusion", "ModelConfiguration", "Models", "Schedules", "Scoring", "Tensors"],
        tests: [
            "Basics", "Diffusion", "ModelConfiguration", "Models", "Schedules", "Scoring", "Tensors", "TestSupport",
        ])
    + module(
        "Verification", ["Basics", "Diffusion", "ModelConfiguration", "Models", "Schedules", "Scoring", "Tensors"],
        tests: ["Basics", "Tensors", "TestSupport"])
    + module("History", ["Basics", grdb], tests: ["TestSupport", grdb])
    + module(
        "Dashboard", ["Basics", "History", flyingSocks],
        // In code: the program can be moved and installed without them.
        resources: [.embedInCode("Web")], tests: ["Basics", "History", "JSON", "TestSupport"])
    + module(
        "Messages", ["Basics", protobuf], exclude: ["Messages.proto"], tests: ["Basics", "TestSupport", protobuf])
    + module("Transport", ["Basics", "CZeroMQ"], tests: ["ClusterTesting", "CZeroMQ", "TestSupport"])
    + module(
        "CoordinatorService",
        [
            "Basics", "Evolution", "History", "JSON", "Messages", "ModelConfiguration", "Prompts", "Schedules",
            "Transport", deque, heap, logging,
        ],
        tests: [
            "Basics", "Evolution", "History", "Messages", "ModelConfiguration", "TestSupport", "Transport", logging,
        ])
    + module(
        "Benchmarks",
        [
            "Basics", "Diffusion", "Evaluations", "Evolution", "History", "ModelConfiguration", "Models", "Schedules",
            "Tensors",
        ],
        tests: [
            "Basics", "Diffusion", "Evaluations", "Evolution", "ModelConfiguration", "Models", "Schedules",
            "TestSupport",
        ])
    + module(
        "WorkerService",
        [
            "Basics", "Diffusion", "Evaluations", "Messages", "ModelConfiguration", "Models", "Schedules", "Scoring",
            "Tensors", "Transport", logging,
        ],
        tests: [
            "Basics", "Evaluations", "Messages", "ModelConfiguration", "Schedules", "Scoring", "Tensors", "TestSupport",
        ])

let programs: [Target] = [
    .target(name: "ProgramSupport", dependencies: ["Basics", argumentParser, logging], swiftSettings: swiftSettings),
    .testTarget(
        name: "ProgramSupportTests", dependencies: ["ProgramSupport", argumentParser, logging],
        swiftSettings: swiftSettings),
    program(
        "ecad",
        [
            "Basics", "Benchmarks", "Diffusion", "Evaluations", "Evolution", "JSON", "ModelConfiguration", "Models",
            "Prompts", "Schedules", "Scoring", "Tensors", "Verification",
        ]),
    program("ecad-worker", ["Tensors", "Transport", "WorkerService", logging]),
    program("ecad-testing", ["ClusterTesting", "ModelConfiguration", "Transport"]),
    program(
        "ecad-coordinator", ["Basics", "CoordinatorService", "Dashboard", "History", "Prompts", "Transport", logging]),
    .testTarget(
        name: "ProgramTests",
        dependencies: [
            "ecad", "ecad-coordinator", "ecad-worker", "History", "JSON", "Messages", "ModelConfiguration", "Schedules",
            "Tensors", "TestSupport", "Transport", protobuf,
        ],
        swiftSettings: swiftSettings),
]

let testSupport: [Target] = [
    .target(name: "ClusterTesting", dependencies: ["Messages", "Transport"], swiftSettings: swiftSettings),
    .target(
        name: "TestSupport", dependencies: ["Basics"], path: "Tests/TestSupport", swiftSettings: swiftSettings),
    .target(name: "CAllocations", path: "Tests/CAllocations", cSettings: cSettings),
]

let package = Package(
    name: "ecad-cluster",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/swhitty/FlyingFox", .upToNextMinor(from: "0.27.1")),
    ],
    targets: libraries + modules + programs + testSupport,
    cxxLanguageStandard: .cxx17
)
