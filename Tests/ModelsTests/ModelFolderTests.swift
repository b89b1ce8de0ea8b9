import ModelConfiguration
import Models
import Tensors
import TestSupport
import Testing

@Suite struct ModelFolderTests {
    @Test(arguments: [("alpha-small", 120), ("sigma-small", 300), ("flux-small", 512)])
    func textLengthFollowsTheFamily(_ fixture: String, _ expected: Int) throws {
        #expect(try ModelFolder(path: "\(Fixtures.folder)/\(fixture)/model").maxTextLength == expected)
    }

    /// FLUX has no mask for its text: a model trained with fewer tokens says so in its T5 tokenizer.
    @Test(arguments: [("24", 24), ("1e30", 512), ("null", 512)])
    func fluxModelsMayHaveFewerTextTokens(_ stated: String, _ expected: Int) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set("model_max_length", to: stated, in: "tokenizer_2/tokenizer_config.json")
        #expect(try ModelFolder(path: model.path).maxTextLength == expected)
        let tokens = try TextEncoding(model: ModelFolder(path: model.path)).embed("a circle").text.rows
        #expect(tokens == expected)
    }

    @Test func missingDirectoryIsNamed() {
        let line = complaint { try ModelFolder(path: "/absent/model") }
        #expect(line.isOneLine(naming: "/absent/model/model_index.json", "not found", "diffusers layout"))
    }

    @Test func directoryWithoutIndexIsRejected() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove("model_index.json")
        #expect(complaint { try ModelFolder(path: model.path) }.isOneLine(naming: model.file("model_index.json")))
    }

    @Test func otherFamiliesAreRejected() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set("_class_name", to: "\"StableDiffusionPipeline\"", in: "model_index.json")
        let line = complaint { try ModelFolder(path: model.path) }
        #expect(line.isOneLine(naming: "model_index.json", "StableDiffusionPipeline", "PixArtSigmaPipeline"))
    }
}
