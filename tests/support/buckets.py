"""One bucket per process of the test run. It is emptied before each test that uses it."""

from typing import Any, Self

import botocore.config
import botocore.session

from tests.support.servers import Servers


class Buckets:
    """Creates the bucket of this process; ``with`` deletes it at the end."""

    def __init__(self, servers: Servers, worker: str) -> None:
        self.name = f"{servers.run.name[-8:].replace('_', '-').lower()}-{worker}".strip("-")
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=servers.s3_endpoint,
            aws_access_key_id=servers.s3_access_key,
            aws_secret_access_key=servers.s3_secret_key,
            region_name=servers.s3_region,
            config=botocore.config.Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def __enter__(self) -> Self:
        self._client.create_bucket(Bucket=self.name)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.empty()
        for left in self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()):
            self._client.abort_multipart_upload(Bucket=self.name, Key=left["Key"], UploadId=left["UploadId"])
        self._client.delete_bucket(Bucket=self.name)
        self._client.close()

    def empty(self) -> None:
        """Delete all objects."""
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name):
            if found := [{"Key": item["Key"]} for item in page.get("Contents", ())]:
                self._client.delete_objects(Bucket=self.name, Delete={"Objects": found, "Quiet": True})
