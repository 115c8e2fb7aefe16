# The command line with the embedded sample: docker run --rm IMAGE run -s catalyst_momentum
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements.lock .
RUN python -m venv /environment \
    && /environment/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY . .
RUN /environment/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="privacy-event-backtest" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.licenses="MIT"
RUN useradd --create-home --uid 1000 backtest
COPY --from=build /environment /environment
ENV PATH=/environment/bin:$PATH
USER backtest
WORKDIR /home/backtest
ENTRYPOINT ["backtest"]
CMD ["--help"]
