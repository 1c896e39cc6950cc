#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>

#include "nbd/tls.h"
#include "support/block_io.h"
#include "unit/nbd_client.h"
#include "unit/nbd_server_fixture.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Pattern;
using test::Bytes;
using test::ClientFlags;
using test::InfoData;
using test::kFixedNoZeroes;
using test::OptionMessage;
using test::TestClient;
using test::Wire;

struct KeyFreer {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct CertificateFreer {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct ContextFreer {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, ContextFreer>;

struct Identity {
  std::unique_ptr<EVP_PKEY, KeyFreer> key;
  std::unique_ptr<X509, CertificateFreer> certificate;
  std::string key_file;
  std::string certificate_file;
};

// An identity signed by `authority`, or by itself; as values and as PEM files.
Identity MakeIdentity(const std::string& directory, const std::string& name,
                      const Identity* authority) {
  Identity made;
  made.key.reset(EVP_EC_gen("P-256"));
  made.certificate.reset(X509_new());
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), static_cast<long>(name.size() + 1));
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  const Identity& signer = authority == nullptr ? made : *authority;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer.certificate.get()));
  if (authority == nullptr) {
    X509_EXTENSION* is_authority =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(certificate, is_authority, -1);
    X509_EXTENSION_free(is_authority);
  }
  CHECK(X509_sign(certificate, signer.key.get(), EVP_sha256()) > 0);

  made.key_file = directory + "/" + name + "-key.pem";
  made.certificate_file = directory + "/" + name + ".pem";
  FILE* file = std::fopen(made.key_file.c_str(), "w");
  PEM_write_PrivateKey(file, made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  file = std::fopen(made.certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  return made;
}

class NbdTlsTest : public test::ServerFixture {
 protected:
  void SetUp() override {
    test::ServerFixture::SetUp();
    authority_ = MakeIdentity(directory_.path(), "authority", nullptr);
    server_identity_ = MakeIdentity(directory_.path(), "server", &authority_);
    client_identity_ = MakeIdentity(directory_.path(), "client", &authority_);
    stranger_ = MakeIdentity(directory_.path(), "stranger", nullptr);
  }

  TlsConfig Config(bool required) const {
    return {.certificate_file = server_identity_.certificate_file,
            .key_file = server_identity_.key_file,
            .client_ca_file = {},
            .required = required};
  }

  // A client that trusts the authority, with or without an identity of its own.
  Context ClientContext(const Identity* identity = nullptr) const {
    Context context(SSL_CTX_new(TLS_client_method()));
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority_.certificate.get());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (identity != nullptr) {
      SSL_CTX_use_certificate(context.get(), identity->certificate.get());
      SSL_CTX_use_PrivateKey(context.get(), identity->key.get());
    }
    return context;
  }

  static OptionReply AskOne(TestClient& client, Option option, const Bytes& data = {}) {
    const auto answers = client.Ask(option, data);
    return answers.empty() ? OptionReply::kErrShutdown : answers.back().type;
  }

  // STARTTLS and GO.
  static bool GoWithTls(TestClient& client, SSL_CTX* context) {
    return client.Send(ClientFlags(kFixedNoZeroes)) &&
           AskOne(client, Option::kStartTls) == OptionReply::kAck && client.StartTls(context) &&
           client.Go("db");
  }

  Identity authority_;
  Identity server_identity_;
  Identity client_identity_;
  Identity stranger_;
};
INSTANTIATE_FOR_EVERY_BACKEND(NbdTlsTest);

TEST_P(NbdTlsTest, ServesLargeAndManyRequestsThroughTls) {
  TestClient client(Listen("127.0.0.1:0", Config(true)));
  const Context context = ClientContext();
  ASSERT_TRUE(GoWithTls(client, context.get()));
  const Bytes data = Pattern(3 * kMiB + 512, 1);
  EXPECT_EQ(client.Run(Command::kWrite, 512, 3 * kMiB + 512, 0, data), NbdError::kNone);
  EXPECT_TRUE(client.Read(512, 3 * kMiB + 512) == data);

  constexpr uint64_t kRequests = 300;
  Wire wire;
  for (uint64_t i = 0; i < kRequests; ++i) {
    wire.Append(test::RequestMessage(Command::kRead, i, 512 + i * 4096, 4096));
  }
  ASSERT_TRUE(client.Send(wire.bytes()));
  for (uint64_t i = 0; i < kRequests; ++i) {
    const auto reply = client.NextReply();
    ASSERT_TRUE(reply.has_value());
    const auto first = data.begin() + static_cast<ptrdiff_t>(reply->cookie * 4096);
    EXPECT_TRUE(reply->data() == Bytes(first, first + 4096));
  }
  ASSERT_TRUE(client.Request(Command::kDisc, 0, 0, 0));
  EXPECT_FALSE(client.NextReply().has_value());
}

TEST_P(NbdTlsTest, ServesNothingInClearTextWhereTlsIsRequired) {
  const std::string address = Listen("127.0.0.1:0", Config(true));
  TestClient client(address);
  ASSERT_TRUE(client.Send(ClientFlags(kFixedNoZeroes)));
  EXPECT_EQ(AskOne(client, Option::kList), OptionReply::kErrTlsReqd);
  EXPECT_EQ(AskOne(client, Option::kGo, InfoData("db")), OptionReply::kErrTlsReqd);
  ASSERT_TRUE(client.Send(OptionMessage(Option::kExportName, Wire().Text("db").bytes())));
  EXPECT_TRUE(client.WaitForClose());
}

TEST_P(NbdTlsTest, LeavesTheChoiceToTheClientWhereTlsIsOptional) {
  const std::string address = Listen("127.0.0.1:0", Config(false));
  TestClient in_clear_text(address);
  EXPECT_TRUE(in_clear_text.Go("db"));
  TestClient protected_client(address);
  const Context context = ClientContext();
  EXPECT_TRUE(GoWithTls(protected_client, context.get()));
}

TEST_P(NbdTlsTest, AsksTcpClientsOnlyAndOnlyWhereItIsSetUp) {
  TestClient over_unix(Listen("unix:" + directory_.path() + "/s", Config(true)));
  EXPECT_TRUE(over_unix.Go("db"));
  TestClient over_tcp(ListenTcp());
  ASSERT_TRUE(over_tcp.Send(ClientFlags(kFixedNoZeroes)));
  EXPECT_EQ(AskOne(over_tcp, Option::kStartTls), OptionReply::kErrPolicy);
}

TEST_P(NbdTlsTest, AdmitsOnlyClientsWithACertificateOfTheAuthority) {
  TlsConfig config = Config(true);
  config.client_ca_file = authority_.certificate_file;
  const std::string address = Listen("127.0.0.1:0", config);
  struct Case {
    const char* who;
    const Identity* identity;
    bool admitted;
  };
  for (const Case& one : {Case{"nobody", nullptr, false}, Case{"stranger", &stranger_, false},
                          Case{"client", &client_identity_, true}}) {
    TestClient client(address);
    const Context context = ClientContext(one.identity);
    EXPECT_EQ(GoWithTls(client, context.get()), one.admitted) << one.who;
  }
}

TEST_P(NbdTlsTest, RefusesVersionsBeforeTls12) {
  TestClient client(Listen("127.0.0.1:0", Config(true)));
  const Context context = ClientContext();
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_1_VERSION);
  SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  EXPECT_FALSE(GoWithTls(client, context.get()));
}

// Records that are decrypted together do not make the socket ready one by one.
TEST_P(NbdTlsTest, TakesOptionsThatArriveTogetherOrAreTooLong) {
  TestClient client(Listen("127.0.0.1:0", Config(true)));
  const Context context = ClientContext();
  ASSERT_TRUE(client.Send(ClientFlags(kFixedNoZeroes)));
  ASSERT_EQ(AskOne(client, Option::kStartTls), OptionReply::kAck);
  ASSERT_TRUE(client.StartTls(context.get()));
  EXPECT_EQ(AskOne(client, Option::kInfo, Bytes(60 * kKiB)), OptionReply::kErrInvalid);
  EXPECT_EQ(AskOne(client, Option::kInfo, Bytes(5 * kMiB)), OptionReply::kErrTooBig);
  Wire wire;
  for (int i = 0; i < 50; ++i) wire.Append(OptionMessage(Option::kStructuredReply, Bytes(2000)));
  ASSERT_TRUE(client.Send(wire.bytes()));
  for (int i = 0; i < 50; ++i) {
    const auto refused = client.Receive(kOptionReplyHeaderBytes);
    ASSERT_TRUE(refused.has_value());
    ASSERT_TRUE(client.Receive(LoadBigEndian<uint32_t>(refused->data() + 16)).has_value());
  }
  EXPECT_TRUE(client.Go("db"));
}

// What comes behind STARTTLS in clear text could be an attacker's, and must not count as protected.
TEST_P(NbdTlsTest, ClosesWhenClearTextFollowsStartTls) {
  TestClient client(Listen("127.0.0.1:0", Config(true)));
  ASSERT_TRUE(client.Send(Wire()
                              .Append(ClientFlags(kFixedNoZeroes))
                              .Append(OptionMessage(Option::kStartTls))
                              .Append(OptionMessage(Option::kStructuredReply))
                              .bytes()));
  ASSERT_TRUE(client.Receive(kOptionReplyHeaderBytes).has_value());
  EXPECT_TRUE(client.WaitForClose());
}

TEST_P(NbdTlsTest, ClosesOnGarbageInPlaceOfTls) {
  TestClient client(Listen("127.0.0.1:0", Config(true)));
  ASSERT_TRUE(client.Send(ClientFlags(kFixedNoZeroes)));
  ASSERT_EQ(AskOne(client, Option::kStartTls), OptionReply::kAck);
  ASSERT_TRUE(client.Send(Bytes(200, std::byte{0x47})));
  while (client.Receive(1).has_value()) {  // a TLS alert
  }
  TestClient next(ListenUnix());
  EXPECT_TRUE(next.Go("db"));
}

TEST_P(NbdTlsTest, NamesTheFileThatCannotBeUsed) {
  const auto message_for = [&](const TlsConfig& config) {
    const auto result = server_->Listen("127.0.0.1:0", config);
    EXPECT_FALSE(result.ok());
    return result.ok() ? std::string() : result.status().message();
  };
  TlsConfig config = Config(true);
  config.certificate_file = "/nowhere/cert.pem";
  EXPECT_THAT(message_for(config), testing::HasSubstr("/nowhere/cert.pem"));
  config = Config(true);
  config.key_file = "/nowhere/key.pem";
  EXPECT_THAT(message_for(config), testing::HasSubstr("/nowhere/key.pem"));
  config = Config(true);
  config.key_file = client_identity_.key_file;
  EXPECT_THAT(message_for(config), testing::HasSubstr(client_identity_.key_file));
  config = Config(true);
  config.client_ca_file = "/nowhere/ca.pem";
  EXPECT_THAT(message_for(config), testing::HasSubstr("/nowhere/ca.pem"));
}

}  // namespace
}  // namespace aurochs::nbd
