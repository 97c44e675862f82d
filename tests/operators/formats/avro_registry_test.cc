#include "tidemark/operators/formats/avro_registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "operators/formats/http_stand_in.h"

namespace tidemark {
namespace {

using Answer = HttpStandIn::Answer;

AvroRegistry Registry(const std::string& url, absl::Duration patience = absl::Seconds(5)) {
  return AvroRegistry(url, "", "", patience);
}

TEST(AvroRegistryTest, GivesTheSchemaOfAnId) {
  HttpStandIn server([](const std::string&) {
    return Answer{.status = 200, .body = R"({"schema":"{\"type\":\"long\"}"})", .headers = ""};
  });
  // Slashes at the end of the URL do not matter.
  for (const char* end : {"", "/", "//"}) {
    const auto text = Registry(server.url() + end).Fetch(4294967295u);
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, R"({"type":"long"})");
  }
  for (const std::string& head : server.requests()) {
    EXPECT_TRUE(head.starts_with("GET /schemas/ids/4294967295 HTTP/1.1\r\n")) << head;
    EXPECT_EQ(head.find("Authorization"), std::string::npos);
  }
}

TEST(AvroRegistryTest, AnswersThatAreNoSchema) {
  Answer answer;
  HttpStandIn server([&](const std::string&) { return answer; });
  const auto fetch = [&](int status, std::string body) {
    answer = {.status = status, .body = std::move(body), .headers = ""};
    return Registry(server.url()).Fetch(7).status();
  };
  EXPECT_TRUE(absl::IsNotFound(fetch(404, R"({"error_code":40403,"message":"Schema not found"})")));
  EXPECT_TRUE(absl::IsPermissionDenied(fetch(401, "")));
  EXPECT_TRUE(absl::IsPermissionDenied(fetch(403, "")));
  EXPECT_TRUE(absl::IsFailedPrecondition(fetch(400, "")));
  EXPECT_TRUE(absl::IsFailedPrecondition(fetch(200, "<html>welcome</html>")));
  EXPECT_TRUE(absl::IsFailedPrecondition(fetch(200, R"({"schema":7})")));
  EXPECT_TRUE(absl::IsFailedPrecondition(fetch(200, std::string(3 << 20, ' '))));
  const absl::Status other = fetch(200, R"({"schemaType":"PROTOBUF","schema":"syntax"})");
  EXPECT_EQ(other.ToString(), "INVALID_ARGUMENT: schema 7 is of type PROTOBUF, not AVRO");
  EXPECT_TRUE(absl::IsInvalidArgument(fetch(
      200, R"({"schema":"\"long\"","references":[{"name":"x","subject":"s","version":1}]})")));
  EXPECT_TRUE(fetch(200, R"({"schema":"\"long\"","references":[]})").ok());
  EXPECT_EQ(server.requests().size(), 10u);  // none was asked twice
}

TEST(AvroRegistryTest, AnOutageIsWaitedFor) {
  std::atomic<int> count = 0;
  HttpStandIn server([&](const std::string&) -> Answer {
    switch (count++) {
      case 0:
        return {.status = 500, .body = "", .headers = ""};
      case 1:
        return {.status = 0, .body = "", .headers = ""};
      case 2:
        return {.status = 429, .body = "", .headers = ""};
      default:
        return {.status = 200, .body = R"({"schema":"\"int\""})", .headers = ""};
    }
  });
  AvroRegistry registry = Registry(server.url(), absl::Seconds(20));
  EXPECT_EQ(registry.Fetch(1).value_or(""), "\"int\"");
  EXPECT_EQ(count, 4);
  server.Close();
  std::thread back([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    server.Reopen();
  });
  EXPECT_EQ(registry.Fetch(1).value_or(""), "\"int\"");
  back.join();
}

TEST(AvroRegistryTest, PatienceEnds) {
  HttpStandIn server(
      [](const std::string&) { return Answer{.status = 503, .body = "", .headers = ""}; });
  const absl::Time begin = absl::Now();
  const absl::Status busy = Registry(server.url(), absl::Milliseconds(400)).Fetch(3).status();
  EXPECT_TRUE(absl::IsUnavailable(busy));
  EXPECT_EQ(std::string(busy.message()),
            fmt::format("the schema registry answers 503 to {}/schemas/ids/3", server.url()));
  // A server that takes the request and says nothing.
  HttpStandIn silent(
      [](const std::string&) { return Answer{.status = -1, .body = "", .headers = ""}; });
  EXPECT_TRUE(
      absl::IsUnavailable(Registry(silent.url(), absl::Milliseconds(400)).Fetch(3).status()));
  server.Close();
  EXPECT_TRUE(
      absl::IsUnavailable(Registry(server.url(), absl::Milliseconds(400)).Fetch(3).status()));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(20));
}

TEST(AvroRegistryTest, UserAndPasswordAreSentAndNeverShown) {
  std::atomic<int> status = 200;
  HttpStandIn server([&](const std::string&) {
    return Answer{.status = status, .body = R"({"schema":"\"int\""})", .headers = ""};
  });
  const std::string host = server.url().substr(7);
  AvroRegistry by_option(server.url(), "ann", "s3cret:x", absl::Milliseconds(300));
  AvroRegistry by_url("http://bob:s3cret%2F@" + host, "", "", absl::Milliseconds(300));
  AvroRegistry by_odd_url("http://bob:s3cret/@x@" + host, "", "", absl::Milliseconds(300));
  for (AvroRegistry* registry : {&by_option, &by_url, &by_odd_url}) {
    EXPECT_TRUE(registry->Check().ok());
    status = 200;
    EXPECT_TRUE(registry->Fetch(1).ok());
    for (int failure : {401, 404, 418, 500, 0}) {
      status = failure;
      const absl::Status answer = registry->Fetch(1).status();
      EXPECT_FALSE(answer.ok());
      EXPECT_EQ(answer.ToString().find("s3cret"), std::string::npos) << answer;
      EXPECT_EQ(answer.ToString().find("bob"), std::string::npos) << answer;
      EXPECT_NE(answer.ToString().find(host), std::string::npos) << answer;
    }
  }
  const std::vector<std::string> requests = server.requests();
  const auto has = [&](std::string_view credentials) {
    for (const std::string& head : requests) {
      if (head.find(fmt::format("Authorization: Basic {}", credentials)) != std::string::npos) {
        return true;
      }
    }
    return false;
  };
  EXPECT_TRUE(has("YW5uOnMzY3JldDp4"));      // ann:s3cret:x
  EXPECT_TRUE(has("Ym9iOnMzY3JldC8="));      // bob:s3cret/
  EXPECT_TRUE(has("Ym9iOnMzY3JldC9AeA=="));  // bob:s3cret/@x
}

TEST(AvroRegistryTest, PasswordsDoNotFollowARedirectElsewhere) {
  HttpStandIn other([](const std::string&) {
    return Answer{.status = 200, .body = R"({"schema":"\"int\""})", .headers = ""};
  });
  HttpStandIn server([&](const std::string&) {
    return Answer{
        .status = 302, .body = "", .headers = fmt::format("Location: {}/x\r\n", other.url())};
  });
  AvroRegistry registry(server.url(), "ann", "secret", absl::Seconds(5));
  EXPECT_TRUE(registry.Fetch(1).ok());
  ASSERT_EQ(other.requests().size(), 1u);
  EXPECT_EQ(other.requests()[0].find("Authorization"), std::string::npos);
  HttpStandIn circle([&](const std::string&) {
    return Answer{.status = 302, .body = "", .headers = "Location: /again\r\n"};
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(Registry(circle.url()).Fetch(1).status()));
  HttpStandIn file([&](const std::string&) {
    return Answer{.status = 302, .body = "", .headers = "Location: file:///etc/passwd\r\n"};
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(Registry(file.url()).Fetch(1).status()));
}

TEST(AvroRegistryTest, Check) {
  EXPECT_TRUE(Registry("http://registry:8081").Check().ok());
  EXPECT_TRUE(Registry("https://user:pw@registry/path").Check().ok());
  for (const char* url : {"registry:8081", "ftp://registry", "file:///etc/passwd"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Registry(url).Check())) << url;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Registry("http://r", absl::ZeroDuration()).Check()));
  EXPECT_TRUE(absl::IsInvalidArgument(Registry("http://r", absl::InfiniteDuration()).Check()));
}

}  // namespace
}  // namespace tidemark
