# labplane with VPCS. docs/operations.md says how to run it; `./run container` builds it and plays the sample session.
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/labplane && /opt/labplane/bin/pip install --no-cache-dir .

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 tini vpcs \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --home-dir /var/lib/labplane --shell /usr/sbin/nologin labplane
COPY --from=build /opt/labplane /opt/labplane
ENV PATH=/opt/labplane/bin:$PATH \
    LABPLANE_PROJECTS_DIR=/var/lib/labplane/projects \
    LABPLANE_TOKEN_FILE=/var/lib/labplane/token
# By number, for those who check that it is not root's.
USER 10001
WORKDIR /var/lib/labplane
VOLUME /var/lib/labplane
# The server is not process 1, which would have to reap whatever loses its parent.
ENTRYPOINT ["tini", "--", "labplane"]
CMD ["serve"]
