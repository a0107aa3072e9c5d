"""What of a URL may be stored and shown."""

import pytest

from lakehouse.shown_urls import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://anna:hunter2@host/a.csv", "https://host/a.csv"),
        ("https://anna:hunter2@host:8443/a@b.csv", "https://host:8443/a@b.csv"),
        ("https://anna:p@ss@host/a", "https://host/a"),
        ("https://anna:p?ss@host/a", "https://host/a"),
        ("https://ghp_token@host/a", "https://host/a"),
        ("HTTPS://anna:hunter2@host/a", "HTTPS://host/a"),
        ("s3://AKIA:sec/ret+key@bucket/a b.csv", "s3://bucket/a b.csv"),
        ("sftp://anna:hunter2@host/a", "sftp://host/a"),
        ("https://h/a?X-Amz-Credential=c&X-Amz-Signature=s&versionId=7", "https://h/a?versionId=7"),
        ("https://h/a?x%2Damz%2Dsignature=s", "https://h/a"),
        ("https://h/a?sv=1&sig=abc%2B", "https://h/a?sv=1"),
        ("https://h/a?id=5&access_token=t#token=u", "https://h/a?id=5"),
        ("https://h/a?Signature=s&AWSAccessKeyId=k&Expires=1", "https://h/a?Expires=1"),
        ("https://h/a?api_key=k", "https://h/a"),
        ("https://h/a?key=k", "https://h/a"),
        ("403 for 'https://anna:pw@h/a?sig=s': no", "403 for 'https://h/a': no"),
    ],
)
def test_what_lets_somebody_in_is_left_out(text, shown):
    assert without_credentials(text) == shown
    assert without_credentials(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "data/a?.csv",
        "a@b.csv?sig=x",
        "s3://bucket/a?.csv",
        "s3://bucket/user@host/a#1.csv",
        "https://host:8080/a@b",
        "https://h/a?author=smith&page=2",
        "abfss://container@account.dfs.core.windows.net/a",
        "sftp://anna@host/a",
        "file:///data/a:b@c.csv",
        "no URL: user:password@host",
    ],
)
def test_what_names_a_file_is_kept(text):
    assert without_credentials(text) == text
