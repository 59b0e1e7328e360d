// A signed POST in, one record for each change out, 200 when the broker has them all, else 503.
//
//     node door.mjs plain       every POST is a send() of its own, as the library's users write it; not idempotent, because
//                               with concurrent sends its idempotent producer acknowledges what it did not store
//     node door.mjs idempotent  the same, idempotent all the same: to be seen losing
//     node door.mjs batching    POSTs gather while one send() is on its way, and go together in the next; idempotent
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'

import { compatibilityPartitioner, ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka'
import fastify from 'fastify'

const { PORT, KAFKA_BOOTSTRAP_SERVERS, TOPIC, APP_SECRET } = process.env
const PATIENCE = 10_000 // milliseconds until a POST that is not stored is answered 503

const producerOptions = {
  clientId: 'door',
  bootstrapBrokers: KAFKA_BOOTSTRAP_SERVERS.split(','),
  serializers: stringSerializers,
  partitioner: compatibilityPartitioner, // Java's
  compression: 'lz4',
  acks: ProduceAcks.ALL
}

function plain (idempotent = false) {
  const producer = new Producer({ ...producerOptions, idempotent, requestTimeout: PATIENCE, retries: 0 })
  return messages => producer.send({ messages })
}

function batching () {
  let producer
  let waiting = [] // one entry for each POST
  let sending = false
  let stuck = false

  async function drain () {
    sending = true
    while (waiting.length > 0) {
      const posts = waiting
      waiting = []
      const late = setTimeout(() => {
        stuck = true
        for (const post of [...posts, ...waiting]) post.reject(new Error('late'))
        waiting = []
      }, PATIENCE)
      try {
        producer ??= new Producer({ ...producerOptions, idempotent: true })
        await producer.send({ messages: posts.flatMap(post => post.messages) })
        for (const post of posts) post.resolve()
      } catch (error) {
        for (const post of posts) post.reject(error)
        // What of it the broker has is unknown, and so is the next sequence number: a new producer begins at 0.
        producer?.close(true).catch(() => {})
        producer = undefined
      } finally {
        clearTimeout(late)
        stuck = false
      }
    }
    sending = false
  }

  return messages => new Promise((resolve, reject) => {
    if (stuck) return reject(new Error('stuck'))
    waiting.push({ messages, resolve, reject })
    if (!sending) drain()
  })
}

const deliver = { plain, idempotent: () => plain(true), batching }[process.argv[2]]()

function signed (header, body) {
  const expected = Buffer.from('sha256=' + createHmac('sha256', APP_SECRET).update(body).digest('hex'))
  const claimed = Buffer.from(header ?? '')
  return claimed.length === expected.length && timingSafeEqual(claimed, expected)
}

function read (body) {
  const common = { source: 'webhook', delivery: randomUUID(), 'received-at': String(Date.now()) }
  return JSON.parse(body).entry.flatMap(({ id, time, changes }) => {
    const headers = { ...common, 'entry-id': String(id), 'entry-time': String(time) }
    return changes.map(change => ({
      topic: TOPIC,
      key: String(change.value.page_id),
      value: JSON.stringify(change),
      headers
    }))
  })
}

const app = fastify({ bodyLimit: 8 * 2 ** 20 })
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => done(null, body))
app.post('/webhook', async (request, reply) => {
  if (!signed(request.headers['x-hub-signature-256'], request.body)) return reply.code(401).send()
  try {
    await deliver(read(request.body))
  } catch {
    return reply.code(503).send()
  }
  return reply.code(200).send()
})
process.on('SIGTERM', () => process.exit(0))
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
