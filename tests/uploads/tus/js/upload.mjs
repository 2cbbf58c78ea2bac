// Sends one file with tus-js-client, as told on standard input; tells on standard output how each step went.
// A step: {endpoint, uploadUrl?, headers, file, chunkSize?, metadata?, abortAfter?, tamper?, retryDelays?}
//   abortAfter  give up once so many bytes were sent; uploadUrl: "" goes on with the upload of the step before
//   tamper      {name: value}: headers of the first request that carries bytes
import { readFileSync } from 'node:fs'
import { Upload } from 'tus-js-client'

function run(step, url) {
  return new Promise((resolve) => {
    const seen = []
    let last = null
    let tampered = false
    const told = (outcome, more) =>
      resolve({ outcome, url: upload.url, requests: seen, status: last?.getHeader('Imagesvc-Status') ?? null, ...more })
    const upload = new Upload(readFileSync(step.file), {
      endpoint: step.endpoint,
      uploadUrl: step.uploadUrl === undefined ? undefined : step.uploadUrl || url,
      headers: step.headers,
      metadata: step.metadata ?? {},
      chunkSize: step.chunkSize ?? Infinity,
      uploadDataDuringCreation: step.uploadDataDuringCreation ?? false,
      retryDelays: step.retryDelays ?? null,
      parallelUploads: step.parallelUploads ?? 1,
      onBeforeRequest(request) {
        if (step.tamper && !tampered && request.getMethod() === 'PATCH') {
          tampered = true
          for (const [name, value] of Object.entries(step.tamper)) request.setHeader(name, value)
        }
      },
      onAfterResponse(request, response) {
        last = response
        seen.push(`${request.getMethod()} ${response.getStatus()}`)
      },
      onProgress(sent) {
        if (step.abortAfter && sent >= step.abortAfter) upload.abort().then(() => told('aborted'))
      },
      onSuccess: () => told('success', { uploadId: last?.getHeader('Imagesvc-Upload-Id') }),
      onError: (error) =>
        told('error', {
          code: error.originalResponse?.getStatus() ?? null,
          body: error.originalResponse?.getBody() ?? null,
        }),
    })
    upload.start()
  })
}

let url = null
for (const step of JSON.parse(readFileSync(0, 'utf8'))) {
  const result = await run(step, url)
  url = result.url
  console.log(JSON.stringify(result))
}
