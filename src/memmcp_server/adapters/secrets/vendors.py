"""Tokens that say by their own form who issued them.

Where detect-secrets (Apache-2.0) has a detector, its expressions are used, one detector at a time; the entropy plugins
flag every base58 word, and its line scanner costs milliseconds. Its last release is of 2024, so the forms that came
later, or that it does not know, are ours. So are OpenAI, npm and JWT: its expressions for them take quadratic time on a
hostile text. A match of either kind is widened to the whole token, since a redaction that
leaves the tail of a token is none. Kingfisher (Apache-2.0, native, a thousand rules at 9 microseconds a text) was
looked at: 36 MB, 56 MB resident in each process, 3 seconds of compiling into a cache under the user's home at first.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Final, NamedTuple

from memmcp_server.domain.secrets import SecretFinding

LONG_WORD_LENGTH_MIN: Final = 20
LONG_WORD: Final = re.compile(r"[A-Za-z0-9_.+/=\-]{20,}")
"""Every token here is inside of one, and hardly any prose has one."""
TAIL: Final = re.compile(r"[A-Za-z0-9_\-]*")
HEADER_LENGTH_MAX: Final = 4_096

Accept = Callable[[str], bool]


def _any(_token: str) -> bool:
    return True


def is_made_by_machine(token: str) -> bool:
    """Return whether the token has digits, and runs that are neither words nor numbers."""
    pieces = re.split(r"[-_.]", token)
    return any(
        len(piece) >= 8 and any(map(str.isdigit, piece)) and not re.fullmatch(r"[a-z]*\d+|\d+[a-z]*", piece)
        for piece in pieces
    ) or any(len(piece) >= 20 for piece in pieces)


def _is_mixed(token: str) -> bool:
    return any(map(str.isdigit, token)) and any(map(str.islower, token)) and any(map(str.isupper, token))


class Rule(NamedTuple):
    """``probes``: one of them is in every text with such a token. ``library``: module and class of detect-secrets."""

    kind: str
    probes: tuple[str, ...]
    own: tuple[re.Pattern[str], ...] = ()
    library: str = ""
    accept: Accept = _any


def _own(*sources: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(source) for source in sources)


AWS_KEY_ID: Final = "aws_access_key_id"
AWS_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9/+=])(?=[^\s]{0,39}[A-Z])(?=[^\s]{0,39}[g-z])(?=[^\s]{0,39}\d)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
)
"""Forty characters of base64: a secret only because a key id stands before it."""
PARTNER_CHARS: Final = 200

RULES: Final = (
    Rule(AWS_KEY_ID, ("AKIA", "ASIA", "ABIA", "ACCA", "A3T"), library="aws.AWSKeyDetector"),
    Rule(
        "github_token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        _own(r"gh[pousr]_[A-Za-z0-9_.]{30,}", r"github_pat_[A-Za-z0-9_]{22,}"),
        "github_token.GitHubTokenDetector",
    ),
    Rule(
        "gitlab_token",
        (
            "glpat-",
            "gldt-",
            "glft-",
            "glsoat-",
            "glrt",
            "GR1348941",
            "glcbt-",
            "glimt-",
            "glptt-",
            "glagent-",
            "gloas-",
            "glffct-",
            "glwt-",
            "_gitlab_session=",
        ),
        _own(r"gl(?:pat|dt|ft|soat|rtr?|cbt|imt|ptt|agent|oas|ffct|wt)-[A-Za-z0-9_.\-]{20,}"),
        "gitlab_token.GitLabTokenDetector",
    ),
    Rule(
        "slack_token",
        ("xox", "xapp-", "hooks.slack.com"),
        _own(
            r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9\-]{10,}",
            r"xapp-\d-[A-Za-z0-9\-]{10,}",
            r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9_+/]{20,}",
        ),
        "slack.SlackDetector",
        lambda token: any(map(str.isdigit, token)),
    ),
    Rule(
        "stripe_key",
        ("k_live_", "k_test_", "whsec_"),
        _own(r"[srp]k_(?:live|test)_[0-9A-Za-z]{16,}", r"whsec_[A-Za-z0-9+/=]{24,}"),
        "stripe.StripeDetector",
    ),
    Rule("langfuse_key", ("sk-lf-",), _own(r"sk-lf-[A-Za-z0-9\-]{16,}")),
    Rule("anthropic_key", ("sk-ant-",), _own(r"sk-ant-[A-Za-z0-9_\-]{16,}")),
    Rule("openai_key", ("sk-",), _own(r"sk-[A-Za-z0-9_\-]{16,}"), accept=is_made_by_machine),
    Rule("google_api_key", ("AIza",), _own(r"AIza[0-9A-Za-z_\-]{35}")),
    Rule("google_oauth", ("ya29.", "GOCSPX-"), _own(r"ya29\.[0-9A-Za-z_\-]{20,}", r"GOCSPX-[0-9A-Za-z_\-]{20,}")),
    Rule("huggingface_token", ("hf_", "api_org_"), _own(r"(?:hf|api_org)_[A-Za-z0-9]{30,}")),
    Rule("npm_token", ("npm_",), _own(r"npm_[A-Za-z0-9]{30,}")),
    Rule("pypi_token", ("pypi-",), _own(r"pypi-[A-Za-z0-9_\-]{40,}"), "pypi_token.PypiTokenDetector"),
    Rule("sendgrid_key", ("SG.",), _own(r"SG\.[\w\-]{16,}\.[\w\-]{16,}"), "sendgrid.SendGridDetector"),
    Rule("mailchimp_key", ("-us",), library="mailchimp.MailchimpDetector"),
    Rule("azure_storage_key", ("AccountKey=",), library="azure_storage_key.AzureStorageKeyDetector"),
    Rule("square_token", ("sq0",), _own(r"sq0[a-z]{3}-[0-9A-Za-z_\-]{22,}"), "square_oauth.SquareOAuthDetector"),
    Rule(
        "discord_webhook",
        ("/api/webhooks/",),
        _own(r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{10,25}/[\w\-]{20,}"),
    ),
    Rule(
        "vendor_token",
        (
            "dop_v1_",
            "doo_v1_",
            "dor_v1_",
            "shpat_",
            "shpss_",
            "shppa_",
            "shpca_",
            "lin_api_",
            "ntn_",
            "glsa_",
            "glc_",
            "dckr_pat_",
            "tskey-",
            "sbp_",
            "sntrys_",
            "PMAK-",
            "rubygems_",
            "NRAK-",
            "hvs.",
            "hvb.",
            "r8_",
            "gsk_",
            "xai-",
            "pplx-",
            "tvly-",
            "figd_",
            "ATATT3",
            "lsv2_",
            "nvapi-",
            "phx_",
            "dp.pt.",
            "AGE-SECRET-KEY-1",
            "key-",
            "EAACEd",
            "pul-",
            "dapi",
            "sgp_",
            "vcp_",
            "cfut_",
            "fio-u-",
            "jina_",
            "e2b_",
            "ATCTT3",
            "pscale_",
        ),
        _own(
            r"do[opr]_v1_[a-f0-9]{40,}",
            r"shp(?:at|ss|pa|ca)_[a-fA-F0-9]{32}",
            r"lin_api_[A-Za-z0-9]{32,}",
            r"ntn_[A-Za-z0-9]{40,}",
            r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}",
            r"dckr_pat_[\w\-]{20,}",
            r"tskey-[a-z]+-[\w\-]{16,}",
            r"sbp_[a-z0-9_]{40,}",
            r"sntrys_[A-Za-z0-9+/=_]{40,}",
            r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
            r"rubygems_[a-f0-9]{48}",
            r"NRAK-[A-Z0-9]{27}",
            r"hv[sb]\.[\w\-]{24,}",
            r"r8_[A-Za-z0-9]{37}",
            r"gsk_[A-Za-z0-9]{40,}",
            r"xai-[A-Za-z0-9]{40,}",
            r"pplx-[A-Za-z0-9]{40,}",
            r"tvly-[A-Za-z0-9\-]{24,}",
            r"figd_[\w\-]{36,}",
            r"AT[AC]TT3[\w\-=]{40,}",
            r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
            r"nvapi-[\w\-]{40,}",
            r"phx_[A-Za-z0-9]{40,}",
            r"dp\.pt\.[A-Za-z0-9]{40,}",
            r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
            r"key-[a-f0-9]{32}",
            r"EAACEd[A-Za-z0-9]{20,}",
            r"pul-[a-f0-9]{40}",
            r"dapi[a-f0-9]{32}",
            r"sgp_[A-Za-z0-9_]{40,}",
            r"vcp_[A-Za-z0-9]{40,}",
            r"cfut_[A-Za-z0-9]{40,}",
            r"fio-u-[\w\-=]{40,}",
            r"jina_[A-Za-z0-9_\-]{40,}",
            r"e2b_[a-f0-9]{40}",
            r"pscale_(?:tkn|pw|oauth)_[\w\-.]{32,}",
        ),
    ),
    Rule("discord_bot_token", ("mfa.",), _own(r"mfa\.[\w\-]{80,}")),
    Rule("extended_private_key", ("prv",), _own(r"[xyztuv]prv[1-9A-HJ-NP-Za-km-z]{100,112}")),
)

FORMS: Final = (
    (
        re.compile(r":[A-Za-z0-9_\-]{35}(?![A-Za-z0-9_\-])"),
        Rule("telegram_bot_token", (), library="telegram_token.TelegramBotTokenDetector", accept=_is_mixed),
    ),
    (
        re.compile(r"\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27}"),
        Rule("discord_bot_token", (), library="discord.DiscordBotTokenDetector", accept=_is_mixed),
    ),
    (
        re.compile(r"(?:AC|SK)[0-9a-f]{32}(?![A-Za-z0-9])"),
        Rule("twilio_key", (), library="twilio.TwilioKeyDetector"),
    ),
)
"""Rules whose tokens have no telling word: the expression stands for the probe."""

LIBRARY_PATTERNS_USED: Final = {"aws.AWSKeyDetector": 1}
"""The second expression of AWS wants quotes and lower-case hints; labels find that secret in any writing."""


@cache
def library_patterns(name: str) -> tuple[re.Pattern[str], ...]:
    """Return the expressions of one detector of detect-secrets."""
    # Imported late: with what it brings along it costs 140 ms, which most processes never need.
    module, _, detector = name.partition(".")
    patterns = tuple(getattr(import_module(f"detect_secrets.plugins.{module}"), detector).denylist)
    return patterns[: LIBRARY_PATTERNS_USED.get(name, len(patterns))]


def load() -> None:
    """Import every detector now."""
    for rule in (*RULES, *(rule for _, rule in FORMS)):
        if rule.library:
            library_patterns(rule.library)


SIGNS: Final = "_-."
PROBES: Final = tuple((probe, rule) for rule in RULES for probe in rule.probes)
PLAIN_PROBES: Final = tuple((probe, rule) for probe, rule in PROBES if not any(sign in probe for sign in SIGNS))
FORM: Final = re.compile("|".join(form.pattern for form, _ in FORMS))


def in_text(text: str, blocks: str, long_words: str) -> Iterator[SecretFinding]:
    """Find tokens by their form; ``blocks`` are the text's long parts between spaces, ``long_words`` the words in them.

    Both one after the other.
    """
    # Mints and signatures have no signs in them, and then most probes cannot be there.
    probes = PROBES if any(sign in long_words for sign in SIGNS) else PLAIN_PROBES
    rules = [rule for probe, rule in probes if probe in long_words]
    for rule in dict.fromkeys(rules) if rules else ():
        for finding in _by_rule(rule, text):
            yield finding
            if rule.kind == AWS_KEY_ID and (
                partner := AWS_SECRET.search(text, finding.end, finding.end + PARTNER_CHARS)
            ):
                yield SecretFinding(partner.start(), partner.end(), "aws_secret_key")
    if FORM.search(blocks):
        for _, rule in FORMS:
            yield from _by_rule(rule, text)
    if "eyJ" in long_words:
        yield from _web_tokens(text)


def _by_rule(rule: Rule, text: str) -> Iterator[SecretFinding]:
    patterns = (*rule.own, *(library_patterns(rule.library) if rule.library else ()))
    for pattern in patterns:
        judged_until = 0
        for match in pattern.finditer(text):
            start = match.start()
            # Glued to letters it is the inside of something else: risk-adjusted..., a base58 word.
            glued = start and text[start].isalnum() and text[start - 1].isalnum()
            if start < judged_until or (glued and not (text[start].isdigit() and text[start - 1].isalpha())):
                continue
            end = judged_until = TAIL.match(text, match.end()).end()  # type: ignore[union-attr]  # it matches anything
            if rule.accept(text[start:end]):
                yield SecretFinding(start, end, rule.kind)


WEB_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_\-]*(?:\.[A-Za-z0-9_\-]*){0,4}=*")


def _web_tokens(text: str) -> Iterator[SecretFinding]:
    """Find JSON web tokens: a header that decodes to an object, a payload, and mostly a signature."""
    for match in WEB_TOKEN.finditer(text):
        token = match[0].rstrip(".=")
        header, _, rest = token.partition(".")
        if len(rest) >= 16 and _is_object(header):
            yield SecretFinding(match.start(), match.start() + len(token), "jwt")


def _is_object(part: str) -> bool:
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(part[:HEADER_LENGTH_MAX] + "=" * (-len(part) % 4))), dict)
    except (ValueError, binascii.Error, RecursionError):
        return False
