import Models
import TestSupport
import Testing

@Suite struct ModelFolderTests {
    @Test(arguments: [("alpha-small", 120), ("sigma-small", 300), ("flux-small", 512)])
    func theFamilySetsTheTextLength(_ fixture: String, _ expected: Int) throws {
        #expect(try ModelFolder(path: "\(Fixtures.folder)/\(fixture)/model").maxTextLength == expected)
    }

    @Test func aMissingFolderIsNamed() {
        let line = complaint { try ModelFolder(path: "/absent/model") }
        #expect(line.isOneLine(naming: "/absent/model/model_index.json", "not found", "diffusers layout"))
    }

    @Test func aFolderWithoutIndexIsRefused() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove("model_index.json")
        #expect(complaint { try ModelFolder(path: model.path) }.isOneLine(naming: model.file("model_index.json")))
    }

    @Test func anotherFamilyIsRefused() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set("_class_name", to: "\"StableDiffusionPipeline\"", in: "model_index.json")
        let line = complaint { try ModelFolder(path: model.path) }
        #expect(line.isOneLine(naming: "model_index.json", "StableDiffusionPipeline", "PixArtSigmaPipeline"))
    }
}
