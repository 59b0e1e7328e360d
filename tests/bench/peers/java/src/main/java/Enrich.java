import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.vertx.VertxParallelEoSStreamProcessor;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.json.JsonObject;
import io.vertx.ext.web.client.HttpResponse;
import io.vertx.ext.web.client.WebClient;
import io.vertx.ext.web.client.WebClientOptions;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Raw records in, the Graph API's answer out, by Confluent's parallel consumer. The only argument is its order: `key` runs
 * the records of a key one after another, `unordered` does not. An offset is committed when every record below it is
 * acknowledged; what failed is tried again after a second.
 */
public final class Enrich {
    private static final String PATH = "/v25.0/";
    private static final String FIELDS = "?fields=id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,"
            + "is_organic,platform,partner_name,retailer_item_id,home_listing,vehicle,custom_disclaimer_responses,field_data,"
            + "post_submission_check_result";
    private static final int TIMEOUT = 30_000; // milliseconds

    private final KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
            Map.of(
                    "bootstrap.servers", env("KAFKA_BOOTSTRAP_SERVERS"),
                    "acks", "all",
                    "enable.idempotence", "true",
                    "compression.type", "lz4",
                    "linger.ms", "5",
                    "batch.size", "131072"),
            new ByteArraySerializer(),
            new ByteArraySerializer());
    private final Vertx vertx = Vertx.vertx(new VertxOptions().setEventLoopPoolSize(1)); // more of them cost more
    private final WebClient graph;
    private final String out = env("OUT");
    private final String bearer = "Bearer " + env("TOKEN");

    private Enrich(URI graph, int concurrency) {
        this.graph = WebClient.create(vertx, new WebClientOptions()
                .setMaxPoolSize(concurrency)
                .setDefaultHost(graph.getHost())
                .setDefaultPort(graph.getPort()));
    }

    public static void main(String[] arguments) {
        var concurrency = Integer.parseInt(env("CONCURRENCY"));
        var options = ParallelConsumerOptions.<byte[], byte[]>builder()
                .ordering(ProcessingOrder.valueOf(arguments[0].toUpperCase()))
                .maxConcurrency(concurrency)
                .consumer(consumer())
                .build();
        var enrich = new Enrich(URI.create(env("GRAPH_URL")), concurrency);
        var processor = new VertxParallelEoSStreamProcessor<byte[], byte[]>(enrich.vertx, enrich.graph, options);
        processor.subscribe(List.of(env("IN")));
        processor.vertxFuture(context -> enrich.fetched(context.getSingleConsumerRecord()));
        Runtime.getRuntime().addShutdownHook(new Thread(processor::closeDontDrainFirst));
    }

    private Future<Void> fetched(ConsumerRecord<byte[], byte[]> record) {
        var lead = new JsonObject(Buffer.buffer(record.value())).getJsonObject("value").getString("leadgen_id");
        var key = lead.getBytes(StandardCharsets.UTF_8);
        return graph.get(PATH + lead + FIELDS)
                .putHeader("Authorization", bearer)
                .timeout(TIMEOUT)
                .send()
                .compose(answer -> acknowledged(new ProducerRecord<>(out, null, key, body(answer), record.headers())));
    }

    private static byte[] body(HttpResponse<Buffer> answer) {
        if (answer.statusCode() != 200) {
            throw new IllegalStateException("status " + answer.statusCode());
        }
        return answer.bodyAsBuffer().getBytes();
    }

    private Future<Void> acknowledged(ProducerRecord<byte[], byte[]> record) {
        Promise<Void> promise = Promise.promise();
        producer.send(record, (metadata, error) -> {
            if (error == null) {
                promise.complete();
            } else {
                promise.fail(error);
            }
        });
        return promise.future();
    }

    private static KafkaConsumer<byte[], byte[]> consumer() {
        return new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers", env("KAFKA_BOOTSTRAP_SERVERS"),
                        "group.id", env("GROUP"),
                        "auto.offset.reset", "earliest",
                        "enable.auto.commit", "false",
                        "max.poll.records", "2000"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
    }

    private static String env(String name) {
        return System.getenv(name);
    }
}
