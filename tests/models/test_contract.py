"""The seam's contract, for every variant of every model."""

import pytest
import torch

from nmt.attention.capture import capture
from nmt.attention.distributions import SinkSoftmax
from nmt.attention.scopes import Final, LocalPredictive
from nmt.layout import Layout
from nmt.models import build_model

VOCAB = 37
SOURCE_LENGTHS = [5, 3, 7]
TARGET_LENGTHS = [4, 6, 1]


def ids(layout: Layout, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return layout.pad_packed(torch.randint(4, VOCAB, (layout.num_tokens,), generator=generator))


BEGIN_ALIKE = ("learned_gain", "logit", ".a", "bias.weight", "score.gain", "score.bias", "score.scale")
"""Parameters of attention that begin as 0 or 1, where they would change nothing."""


@pytest.fixture
def model(model_config):
    torch.manual_seed(1)
    model = build_model(model_config, (VOCAB, VOCAB)).double().eval()
    for name, parameter in model.named_parameters():
        if name.endswith(BEGIN_ALIKE):
            torch.nn.init.normal_(parameter)
    return model


def inputs(width=None, packed=False):
    source_layout = Layout.of(SOURCE_LENGTHS, packed=packed, width=width)
    target_layout = Layout.of(TARGET_LENGTHS, packed=packed, width=width)
    source, target = (ids(Layout.of(lengths), seed) for lengths, seed in ((SOURCE_LENGTHS, 2), (TARGET_LENGTHS, 3)))
    source = source_layout.pad_packed(source[Layout.of(SOURCE_LENGTHS).mask])
    target = target_layout.pad_packed(target[Layout.of(TARGET_LENGTHS).mask])
    if packed:
        source, target = source_layout.unpad(source), target_layout.unpad(target)
    return source, source_layout, target, target_layout


def top_cross(model):
    return [name for name in model.attentions() if name.startswith("decoder.cross")][-1]


@pytest.mark.parametrize("width", [1, 3])
def test_stepping_gives_what_decode_gives(model, width):
    """Hidden states and attention, with the rows of a beam reordered on the way."""
    source, source_layout, target, target_layout = inputs()
    memory = model.encode(source, source_layout)
    name = top_cross(model)
    with capture(model.attentions(), [name]) as records:
        hidden = model.decode(target, target_layout, memory)
    (record,) = records
    assert record.weights.shape == (3, record.weights.shape[1], target_layout.max_length, source_layout.max_length)
    attention = record.weights.mean(1)

    state = model.init_state(memory, width)
    reorder = torch.arange(3 * width).view(3, width).flip(1).flatten()  # within each sentence, whose rows are all alike
    for t in range(target_layout.max_length):
        output = model.step(target[:, t].repeat_interleave(width), state, memory, with_attention=True)
        state = output.state.select(reorder)
        alive = target_layout.mask[:, t].repeat_interleave(width)
        torch.testing.assert_close(output.hidden[alive], hidden[:, t].repeat_interleave(width, 0)[alive])
        torch.testing.assert_close(output.attention[alive], attention[:, t].repeat_interleave(width, 0)[alive])
    assert model.step(target[:, 0].repeat_interleave(width), state, memory).attention is None


def test_rows_of_a_beam_go_their_own_ways(model):
    """Every row reads pieces of its own, and half-way some rows give up their place to copies of others."""
    source, source_layout, _, _ = inputs()
    memory = model.encode(source, source_layout)
    pieces = torch.randint(4, VOCAB, (5, 9), generator=torch.Generator().manual_seed(4))
    parents = torch.tensor([1, 1, 0, 5, 3, 3, 8, 6, 7])
    state, read = model.init_state(memory, width=3), []
    for t, previous in enumerate(pieces):
        output = model.step(previous, state, memory)
        state, read = output.state, [*read, previous]
        if t == 2:
            state, read = state.select(parents), [earlier[parents] for earlier in read]
    of_each_row = memory.select(torch.arange(3).repeat_interleave(3))
    hidden = model.decode(torch.stack(read, 1), Layout.of([5] * 9), of_each_row)
    torch.testing.assert_close(output.hidden, hidden[:, -1])


def test_sentences_leave_while_the_rows_of_others_are_reordered(model):
    source, source_layout, _, _ = inputs()
    memory = model.encode(source, source_layout)
    pieces = torch.randint(4, VOCAB, (4, 6), generator=torch.Generator().manual_seed(5))
    state, read = model.init_state(memory, width=2), []
    for t, previous in enumerate(pieces):
        if t == 2:  # the last sentence takes the first place, the second one leaves
            parents, staying = torch.tensor([5, 5, 1, 0]), torch.tensor([2, 0])
            state, memory, read = state.select(parents), memory.select(staying), [earlier[parents] for earlier in read]
        read.append(previous if t < 2 else previous[:4])
        output = model.step(read[-1], state, memory)
        state = output.state
    hidden = model.decode(torch.stack(read, 1), Layout.of([4] * 4), memory.select(torch.tensor([0, 0, 1, 1])))
    torch.testing.assert_close(output.hidden, hidden[:, -1])


def test_attention_is_a_distribution_over_real_positions(model):
    source, source_layout, target, target_layout = inputs()
    with capture(model.attentions()) as records:
        model.decode(target, target_layout, model.encode(source, source_layout))
    assert sorted(record.name for record in records) == sorted(model.attentions())
    for record in records:
        of_target = "decoder" in record.name
        queries, keys = (
            target_layout if of_target else source_layout,
            target_layout if "decoder.self" in record.name else source_layout,
        )
        rows = record.weights.transpose(1, 2)[queries.mask]  # (N, heads, S)
        sums = rows.sum(-1)
        attention = model.attentions()[record.name]
        if isinstance(attention.distribution, SinkSoftmax) or isinstance(getattr(attention, "scope", None), LocalPredictive):
            assert ((sums > 0) & (sums < 1)).all()
        else:
            torch.testing.assert_close(sums, torch.ones_like(sums))
        hidden_keys = ~keys.mask[:, None, None].expand_as(record.weights)
        assert (record.weights[hidden_keys] == 0).all()
        if record.name.startswith("decoder.self"):
            assert (record.weights.triu(1) == 0).all()


def test_extra_padding_changes_nothing(model):
    source, source_layout, target, target_layout = inputs()
    narrow = model.decode(target, target_layout, model.encode(source, source_layout))
    wide_source, wide_source_layout, wide_target, wide_target_layout = inputs(width=11)
    wide = model.decode(wide_target, wide_target_layout, model.encode(wide_source, wide_source_layout))
    torch.testing.assert_close(wide_target_layout.real(wide), target_layout.real(narrow))


def test_what_stands_in_the_padding_does_not_matter(model):
    source, source_layout, target, target_layout = inputs()
    clean = model.decode(target, target_layout, model.encode(source, source_layout))
    dirty_source = source.masked_fill(~source_layout.mask, VOCAB - 1)
    dirty_target = target.masked_fill(~target_layout.mask, VOCAB - 1)
    dirty = model.decode(dirty_target, target_layout, model.encode(dirty_source, source_layout))
    torch.testing.assert_close(target_layout.real(dirty), target_layout.real(clean))


def test_a_sentence_does_not_see_its_neighbours(model):
    source, source_layout, target, target_layout = inputs()
    together = model.decode(target, target_layout, model.encode(source, source_layout))
    for b in range(3):
        s, t = SOURCE_LENGTHS[b], TARGET_LENGTHS[b]
        memory = model.encode(source[b : b + 1, :s], Layout.of([s]))
        alone = model.decode(target[b : b + 1, :t], Layout.of([t]), memory)
        torch.testing.assert_close(alone[0], together[b, :t])


def test_selected_sentences_go_on_as_before(model):
    source, source_layout, target, target_layout = inputs()
    memory = model.encode(source, source_layout)
    whole = model.decode(target, target_layout, memory)
    chosen = torch.tensor([2, 0, 2])
    selected = memory.select(chosen)
    torch.testing.assert_close(model.decode(target[chosen], target_layout.select(chosen), selected), whole[chosen])

    state = model.init_state(memory)
    state = model.step(target[:, 0], state, memory).state.select(chosen)
    output = model.step(target[chosen, 1], state, selected)
    torch.testing.assert_close(output.hidden[1], whole[0, 1])


def test_packed_gives_what_padded_gives(transformer_config):
    torch.manual_seed(1)
    model = build_model(transformer_config, (VOCAB, VOCAB)).double()
    results = []
    for packed in (False, True):
        model.zero_grad()
        source, source_layout, target, target_layout = inputs(packed=packed)
        hidden = target_layout.real(model.decode(target, target_layout, model.encode(source, source_layout)))
        model.output(hidden).logsumexp(-1).sum().backward()
        results.append([hidden, *(p.grad for p in model.parameters())])
        with capture(model.attentions()) as records:
            model.decode(target, target_layout, model.encode(source, source_layout))
        for record in records:
            layout = target_layout if record.name.startswith("decoder") else source_layout
            results[-1].append(record.weights.transpose(1, 2)[layout.mask])
    for padded, packed in zip(*results, strict=True):
        torch.testing.assert_close(packed, padded)


def test_recording_does_not_change_the_result(model):
    source, source_layout, target, target_layout = inputs()
    free = model.decode(target, target_layout, model.encode(source, source_layout))
    with capture(model.attentions()):
        watched = model.decode(target, target_layout, model.encode(source, source_layout))
    torch.testing.assert_close(target_layout.real(watched), target_layout.real(free))


def test_a_loss_of_the_weights_reaches_the_parameters(model):
    source, source_layout, target, target_layout = inputs()
    with capture(model.attentions(), [top_cross(model)]) as records:
        model.decode(target, target_layout, model.encode(source, source_layout))
    records[0].weights[:, :, 0].square().sum().backward()
    gradient = model.embeddings.source.weight.grad.abs().sum()
    attention = model.attentions()[top_cross(model)]
    constant = isinstance(getattr(attention, "scope", None), Final) and not isinstance(attention.distribution, SinkSoftmax)
    assert (gradient == 0) if constant else (gradient > 0)


def test_the_transformer_computes_with_the_recorded_weights(transformer_config):
    """A recurrent decoder records its steps' weights as one tensor, which only copies them."""
    torch.manual_seed(1)
    model = build_model(transformer_config, (VOCAB, VOCAB)).double()
    source, source_layout, target, target_layout = inputs()
    with capture(model.attentions()) as records:
        hidden = model.decode(target, target_layout, model.encode(source, source_layout))
    loss = model.output(target_layout.real(hidden)).logsumexp(-1).sum()
    for gradient in torch.autograd.grad(loss, [record.weights for record in records]):
        assert gradient.abs().sum() > 0


def test_an_unknown_attention_is_named(model):
    with pytest.raises(KeyError, match=r"encoder\.cross\.9.*decoder\.cross\.0"), capture(model.attentions(), ["encoder.cross.9"]):
        pass
    assert all(attention.record is None for attention in model.attentions().values())


def test_one_seed_one_model(model_config):
    def train_once():
        torch.manual_seed(5)
        model = build_model(model_config, (VOCAB, VOCAB))
        source, source_layout, target, target_layout = inputs()
        hidden = model.decode(target, target_layout, model.encode(source, source_layout))
        model.output(target_layout.real(hidden)).logsumexp(-1).sum().backward()
        return [p.grad for p in model.parameters()]

    for first, second in zip(train_once(), train_once(), strict=True):
        assert torch.equal(first, second)


def test_every_parameter_is_trained(model):
    source, source_layout, target, target_layout = inputs()
    hidden = model.decode(target, target_layout, model.encode(source, source_layout))
    model.output(target_layout.real(hidden)).logsumexp(-1).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_bf16_autocast_stays_near_float32(family_config):
    torch.manual_seed(1)
    model = build_model(family_config, (VOCAB, VOCAB)).eval()
    source, source_layout, target, target_layout = inputs()

    def logits():
        return model.output(target_layout.real(model.decode(target, target_layout, model.encode(source, source_layout)))).float()

    exact = logits()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = logits()
        memory = model.encode(source, source_layout)
        model.step(target[:, 0], model.init_state(memory), memory)
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0.1)
    assert not torch.equal(rounded, exact)
