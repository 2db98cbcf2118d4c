# Two stages: the first builds one static binary without the simulator, the second holds nothing but it and the CA certificates.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base cmake perl linux-headers
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY config config
COPY migrations migrations
COPY src src
# Cargo reads where the tests and benches are, also when it builds neither.
COPY benches benches
COPY tests tests
RUN cargo build --release --locked --no-default-features

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/pay-common /pay-common
USER 65532:65532
ENV PORT=3000
EXPOSE 3000
ENTRYPOINT ["/pay-common"]
