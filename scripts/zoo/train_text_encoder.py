"""Makes the SentencePiece model and trains the T5 encoder of the bundled models.

    python scripts/zoo/train_text_encoder.py --work FOLDER [--family pixart-alpha | flux] [--steps N]

The FLUX pipeline does not mask padding for T5, so the encoder of that model is fine-tuned from shapes-pixart-alpha with padded captions and
without a mask.

The encoder is trained with an auxiliary decoder, discarded afterwards: it cross-attends from an 8x8 grid to the encoder's output and
predicts the colour of the scene in each cell. The diffusion transformer then starts from embeddings that encode shapes and places.
"""

from __future__ import annotations

import argparse
import pathlib
import random

import numpy as np
import sentencepiece
import torch
import transformers
from sentencepiece import sentencepiece_model_pb2
from torch import nn

import bundled
import scenes
from training import Run

MAX_TOKENS = 120
TRAINING_TOKENS = 32  # the longest caption has 31 pieces; masked padding has no effect
FLUX_TOKENS = 24  # the longest caption of one or two shapes has 22; FLUX does not mask padding
GRID = 8
STEPS = {"pixart-alpha": 1400, "flux": 700}
T5_CONFIG = dict(
    d_model=128,
    d_kv=32,
    num_heads=4,
    num_layers=3,
    num_decoder_layers=3,
    d_ff=384,
    feed_forward_proj="gated-gelu",
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    layer_norm_epsilon=1e-6,
    dropout_rate=0.0,
    tie_word_embeddings=False,
    pad_token_id=0,
    eos_token_id=1,
    decoder_start_token_id=0,
)


def make_tokenizer(folder: pathlib.Path) -> sentencepiece.SentencePieceProcessor:
    """Trains `folder/spiece.model` unless it exists; ids as in T5: 0 padding, 1 end, 2 unknown."""
    path = folder / "spiece.model"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        captions = [scene.caption() for scene in scenes.scenes(0, 4000, held_out=False)]
        words = sorted({word.strip(",") for caption in captions for word in caption.split()})
        corpus = folder / "captions.txt"
        # SentencePiece only considers strings that occur in two different words, so each word is repeated with an ending.
        corpus.write_text("\n".join(captions + [f"{word}s {word}," for word in words]))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=str(folder / "spiece"),
            vocab_size=96,
            hard_vocab_limit=False,
            model_type="unigram",
            character_coverage=1.0,
            required_chars="abcdefghijklmnopqrstuvwxyz0123456789.,'-",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
        )
        corpus.unlink()
        model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
        model.trainer_spec.ClearField("input")  # do not store the path of the corpus
        model.trainer_spec.ClearField("model_prefix")
        path.write_bytes(model.SerializeToString())
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def tokenize(tokenizer, captions: list[str], length: int = TRAINING_TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, [count, length]; every caption ends with id 1 and is padded with 0."""
    ids = torch.zeros(len(captions), length, dtype=torch.long)
    mask = torch.zeros(len(captions), length, dtype=torch.long)
    for row, caption in enumerate(captions):
        pieces = tokenizer.encode(caption)[: length - 1] + [1]
        ids[row, : len(pieces)] = torch.tensor(pieces)
        mask[row, : len(pieces)] = 1
    return ids, mask


def make_encoder(tokenizer) -> transformers.T5EncoderModel:
    vocabulary = (tokenizer.get_piece_size() + 100 + 63) // 64 * 64  # includes T5's 100 extra ids
    return transformers.T5EncoderModel(transformers.T5Config(vocab_size=vocabulary, **T5_CONFIG))


def averaged_encoder(work: pathlib.Path, family: str):
    """The tokenizer and the trained encoder."""
    if family == "flux":
        tokenizer, encoder = bundled.t5()
    else:
        tokenizer = make_tokenizer(work / "tokenizer")
        encoder = make_encoder(tokenizer)
    state = torch.load(work / "text_encoder" / "checkpoint.pt", weights_only=True)["average"]
    encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
    return tokenizer, encoder.eval()


class PictureDecoder(nn.Module):
    """Predicts a coarse picture by cross-attention from a grid to the encoder's output."""

    def __init__(self, width: int = 128, depth: int = 2):
        super().__init__()
        self.places = nn.Parameter(torch.randn(GRID * GRID, width) * 0.5)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                dict(
                    norm=nn.LayerNorm(width),
                    attention=nn.MultiheadAttention(width, 4, batch_first=True),
                    feed=nn.Sequential(
                        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
                    ),
                )
            )
            for _ in range(depth)
        )
        self.out = nn.Linear(width, 3)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.places[None].expand(hidden.shape[0], -1, -1)
        for layer in self.layers:
            attended, _ = layer["attention"](
                layer["norm"](x), hidden, hidden, key_padding_mask=mask == 0, need_weights=False
            )
            x = x + attended
            x = x + layer["feed"](x)
        return self.out(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=STEPS, default="pixart-alpha")
    parser.add_argument("--steps", type=int, help="training steps (default: depends on the family)")
    parser.add_argument("--batch", type=int, default=48)
    arguments = parser.parse_args()

    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    if arguments.family == "flux":
        tokenizer, encoder = bundled.t5()
        tokens, counts = FLUX_TOKENS, scenes.FLUX_SHAPE_COUNTS
    else:
        tokenizer = make_tokenizer(arguments.work / "tokenizer")
        encoder, tokens, counts = make_encoder(tokenizer), TRAINING_TOKENS, scenes.SHAPE_COUNTS
    model = nn.ModuleDict(dict(encoder=encoder.train(), decoder=PictureDecoder()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(
        arguments.work / "text_encoder", model, optimizer, arguments.steps or STEPS[arguments.family], 1e-3, average=0.995
    )
    block = scenes.IMAGE_SIZE // GRID
    while run.step < run.total:
        run.begin_step()
        rng = random.Random(f"text {run.step}")
        batch = [scenes.random_scene(rng, counts) for _ in range(arguments.batch)]
        batch = [scene for scene in batch if not scenes.is_held_out(scene.caption())]
        images = np.stack([scenes.draw(scene) for scene in batch]).astype(np.float32) / 127.5 - 1
        coarse = images.reshape(len(batch), GRID, block, GRID, block, 3).mean((2, 4)).reshape(len(batch), -1, 3)
        ids, mask = tokenize(tokenizer, [scene.caption() for scene in batch], tokens)
        if arguments.family == "flux":
            mask = torch.ones_like(mask)
        hidden = model["encoder"](input_ids=ids, attention_mask=mask).last_hidden_state
        loss = (model["decoder"](hidden, mask) - torch.from_numpy(coarse)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.end_step(loss.item())


if __name__ == "__main__":
    main()
