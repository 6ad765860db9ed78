"""Writes a very small text classifier with random weights, and what it says to some texts."""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

text, texts = Path(sys.argv[1]).read_text(), json.loads(Path(sys.argv[2]).read_text())
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
words.train_from_iterator(
    [text], trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False)
)
words.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
tokens = PreTrainedTokenizerFast(
    tokenizer_object=words,
    pad_token="[PAD]",
    unk_token="[UNK]",
    cls_token="[CLS]",
    sep_token="[SEP]",
    model_max_length=64,
)
torch.manual_seed(0)
names = {0: "neg", 1: "neu", 2: "pos"}
model = BertForSequenceClassification(
    BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, num_labels=3, id2label=names, label2id={v: k for k, v in names.items()},
        initializer_range=0.5,
    )
).eval()  # fmt: skip
model.save_pretrained("tiny")
tokens.save_pretrained("tiny")
with torch.no_grad():
    given = tokens(texts, padding=True, truncation=True, return_tensors="pt")
    scores = torch.softmax(model(**{k: given[k] for k in ("input_ids", "attention_mask")}).logits, -1)
Path("expected.json").write_text(json.dumps(scores.tolist()))
