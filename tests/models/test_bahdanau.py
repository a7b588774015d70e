"""RNNsearch against a plain loop of the paper's appendix, for one sentence at a time."""

import pytest
import torch

from nmt.attention.capture import capture
from nmt.attention.scores import GeneralScore
from nmt.config import BahdanauConfig, InitialWeights, RecurrentAttentionConfig, Score, Tying
from nmt.layout import Layout
from nmt.models import build_model

VOCAB, EMBEDDING, WIDTH = 29, 5, 6
STILL = {"embedding_dropout": 0.0, "output_dropout": 0.0}
SOURCE, TARGET = [7, 11, 4, 20], [2, 9, 5, 17, 23]


def build(**settings):
    torch.manual_seed(1)
    settings = {
        "embedding_dim": EMBEDDING,
        "hidden_dim": WIDTH,
        "attention": RecurrentAttentionConfig(attention_dim=7),
        **settings,
    }
    model = build_model(BahdanauConfig(**settings), (VOCAB, VOCAB)).double()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


def encode_in_a_loop(rnn, embedded):
    """States of a bidirectional GRU of one layer: (S, H)."""
    width = rnn.hidden_size

    def run(suffix, order):
        cell = torch.nn.GRUCell(rnn.input_size, width).double()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data = getattr(rnn, f"{name}_l0{suffix}").data
        hidden, states = torch.zeros(width, dtype=torch.float64), {}
        for j in order:
            hidden = states[j] = cell(embedded[j], hidden)
        return states

    forward, backward = run("", range(len(embedded))), run("_reverse", reversed(range(len(embedded))))
    return torch.stack([torch.cat([forward[j], backward[j]]) for j in range(len(embedded))])


def decode_in_a_loop(model, source, target):
    """Readouts t_i and weights a_ij of appendix A.1.2 and A.2.2, with the paper's names."""
    W_a, U_a, v_a = model.attention.score.query.weight, model.attention.score.key.weight, model.attention.score.v
    W_r, W_z, W = model.gates_embedding.weight.chunk(3)
    b_r, b_z, b = model.gates_embedding.bias.chunk(3)
    U_r, U_z = model.gates_state.weight.chunk(2)
    C_r, C_z, C = model.gates_context.weight.chunk(3)
    U = model.candidate_state.weight
    h = encode_in_a_loop(model.encoder.rnn, model.embeddings.source.weight[source])
    width = h.shape[1]
    U_o, V_o, C_o = model.readout.weight.split([WIDTH, EMBEDDING, width], dim=1)
    s = torch.tanh(model.initial.weight @ h[0, width // 2 :] + model.initial.bias)
    readouts, alignments = [], []
    for piece in target:
        y = model.embeddings.target.weight[piece]
        alpha = torch.stack([v_a @ torch.tanh(W_a @ s + U_a @ h_j) for h_j in h]).softmax(0)
        c = sum(a * h_j for a, h_j in zip(alpha, h, strict=True))
        t_tilde = U_o @ s + V_o @ y + C_o @ c + model.readout.bias
        readouts.append(torch.stack([torch.maximum(t_tilde[2 * j], t_tilde[2 * j + 1]) for j in range(EMBEDDING)]))
        alignments.append(alpha)
        r, z = torch.sigmoid(W_r @ y + U_r @ s + C_r @ c + b_r), torch.sigmoid(W_z @ y + U_z @ s + C_z @ c + b_z)
        s = (1 - z) * s + z * torch.tanh(W @ y + U @ (r * s) + C @ c + b)
    return torch.stack(readouts), torch.stack(alignments)


@pytest.mark.parametrize("encoder_dim", [None, 8])
@torch.no_grad()
def test_the_equations_of_the_paper(encoder_dim):
    model = build(encoder_dim=encoder_dim, **STILL).eval()
    memory = model.encode(torch.tensor([SOURCE]), Layout.of([len(SOURCE)]))
    with capture(model.attentions()) as records:
        hidden = model.decode(torch.tensor([TARGET]), Layout.of([len(TARGET)]), memory)
    readouts, alignments = decode_in_a_loop(model, SOURCE, TARGET)
    torch.testing.assert_close(hidden[0], readouts)
    torch.testing.assert_close(records[0].weights[0, 0], alignments)
    torch.testing.assert_close(records[0].values[0, 0], memory.values[0])
    logits = readouts @ model.embeddings.output.weight.T + model.embeddings.output.bias
    torch.testing.assert_close(model.output(hidden)[0], logits)


@torch.no_grad()
def test_a_deeper_encoder_hands_on_its_top_layer():
    model = build(encoder_layers=2, **STILL).eval()
    embedded = model.embeddings.source.weight[SOURCE]
    for layer in range(2):
        one = torch.nn.GRU(embedded.shape[1], WIDTH // 2, bidirectional=True).double()
        for name, parameter in one.named_parameters():
            parameter.data = getattr(model.encoder.rnn, name.replace("_l0", f"_l{layer}")).data
        embedded = encode_in_a_loop(one, embedded)
    memory = model.encode(torch.tensor([SOURCE]), Layout.of([len(SOURCE)]))
    torch.testing.assert_close(memory.values[0], embedded)


def test_initial_weights():
    model = build()
    for matrix in (*model.gates_state.weight.chunk(2), model.candidate_state.weight):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(WIDTH, dtype=torch.float64), atol=1e-5, rtol=0)
    assert model.embeddings.source.weight is model.embeddings.output.weight


def test_initial_weights_of_the_paper():
    """Appendix B.1, at a size where a sample's deviation is near that of its distribution."""
    model = build(hidden_dim=60, embedding_dim=50, initial_weights=InitialWeights.paper, tying=Tying.none)
    orthogonal = [*model.gates_state.weight.chunk(2), model.candidate_state.weight, *model.encoder.rnn.weight_hh_l0.chunk(3)]
    for matrix in orthogonal:
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix), dtype=torch.float64), atol=1e-5, rtol=0)
    score, rnn = model.attention.score, model.encoder.rnn
    assert not score.v.any()
    for matrix in (score.query.weight, score.key.weight):
        assert matrix.std().item() == pytest.approx(0.001, rel=0.15)
    for matrix in (rnn.weight_ih_l0, rnn.weight_ih_l0_reverse, model.gates_embedding.weight, model.gates_context.weight):
        assert matrix.std().item() == pytest.approx(0.01, rel=0.15)
    for layer in (model.initial, model.readout, model.embeddings.source, model.embeddings.target, model.embeddings.output):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.15)
    model.reset()
    assert not any(parameter.any() for name, parameter in model.named_parameters() if "bias" in name)


@pytest.mark.parametrize("tying", Tying)
def test_the_output_layer_is_tied_as_asked_for(tying):
    embeddings = build(tying=tying).embeddings
    assert (embeddings.output.weight is embeddings.target.weight) is (tying is not Tying.none)
    assert (embeddings.target.weight is embeddings.source.weight) is (tying is Tying.three_way)


def test_the_score_is_a_setting():
    attention = RecurrentAttentionConfig(score=Score.general)
    assert isinstance(build(attention=attention).attention.score, GeneralScore)
