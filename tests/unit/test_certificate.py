"""What is wrong with a certificate is one sentence, before anybody connects."""

import certificates
import pytest

from cookbook.errors import ServiceError
from cookbook.service import certificate


@pytest.fixture
def write(tmp_path):
    def write(name: str):
        path = tmp_path / f"{name.lower()}.pem"
        path.write_text(getattr(certificates, name))
        return path

    return write


def test_a_certificate_tells_the_names_that_it_is_for(write):
    assert certificate.read(write("GOOD"), write("KEY")).names == ("room.test",)


def test_certificate_and_key_may_be_in_one_file(tmp_path):
    path = tmp_path / "both.pem"
    path.write_text(certificates.KEY + certificates.GOOD)
    assert certificate.read(path).names == ("room.test",)


@pytest.mark.parametrize(
    ("first", "key", "why"),
    [
        ("EXPIRED", "KEY", "expired.pem 已过期"),
        ("GOOD", "OTHER_KEY", "good.pem 和私钥 other_key.pem 不是一对"),
        ("GOOD", "ENCRYPTED_KEY", "encrypted_key.pem 有密码"),
        ("KEY", "KEY", "没有 PEM 格式的证书"),
        ("GOOD", "GOOD", "没有 PEM 格式的证书"),
    ],
)
def test_a_certificate_that_cannot_be_served_is_one_sentence(write, first, key, why):
    with pytest.raises(ServiceError, match=why):
        certificate.read(write(first), write(key))


def test_a_file_that_is_not_there_is_named(write, tmp_path):
    with pytest.raises(ServiceError, match="missing.pem.*--certificate"):
        certificate.read(tmp_path / "missing.pem", write("KEY"))
    with pytest.raises(ServiceError, match="读不了证书文件"):
        certificate.read(write("GOOD"), tmp_path)
