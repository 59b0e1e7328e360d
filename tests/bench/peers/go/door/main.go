// Command door is the webhook as one would write it by hand with net/http and franz-go.
//
// A POST signed by APP_SECRET becomes one record for each change, byte for byte as it was signed and keyed by its page.
// The answer is 200 when the broker has acknowledged all of them (acks=all, idempotent), and 503 when it has not in
// time: a record that was already on its way may land after that, and is then a duplicate of what Meta sends again.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	maxBody    = 4 << 20
	ackTimeout = 10 * time.Second
	linger     = 2 * time.Millisecond
)

type door struct {
	kafka   *kgo.Client
	digests sync.Pool // of hash.Hash, keyed with the app secret
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "door:", err)
		os.Exit(1)
	}
}

func run() error {
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), ",")...),
		kgo.DefaultProduceTopic(os.Getenv("TOPIC")),
		kgo.RequiredAcks(kgo.AllISRAcks()), // idempotent, as it is unless told otherwise
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(linger),
		kgo.MaxBufferedRecords(200_000), // POSTs of a thousand changes; more of them wait in Produce
		kgo.RecordDeliveryTimeout(ackTimeout),
	)
	if err != nil {
		return err
	}
	defer kafka.Close()
	secret := []byte(os.Getenv("APP_SECRET"))
	if len(secret) == 0 {
		return errors.New("APP_SECRET is not set: anyone could sign")
	}
	it := &door{kafka: kafka}
	it.digests.New = func() any { return hmac.New(sha256.New, secret) }
	routes := http.NewServeMux()
	routes.HandleFunc("POST /webhook", it.webhook)
	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", os.Getenv("PORT")),
		Handler:           routes,
		ReadHeaderTimeout: 10 * time.Second,
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-stop.Done():
	}
	patience, done := context.WithTimeout(context.Background(), ackTimeout)
	defer done()
	return server.Shutdown(patience)
}

func (d *door) webhook(answer http.ResponseWriter, request *http.Request) {
	body, err := read(answer, request)
	if err != nil {
		answer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !d.signed(request.Header.Get("X-Hub-Signature-256"), body) {
		answer.WriteHeader(http.StatusUnauthorized)
		return
	}
	records, err := recordsOf(body, time.Now())
	if err != nil {
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	if err := d.deliver(request.Context(), records); err != nil {
		answer.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer.WriteHeader(http.StatusOK)
}

func read(answer http.ResponseWriter, request *http.Request) ([]byte, error) {
	if request.ContentLength > maxBody {
		return nil, errors.New("too large")
	}
	if request.ContentLength < 0 {
		return io.ReadAll(http.MaxBytesReader(answer, request.Body, maxBody))
	}
	body := make([]byte, request.ContentLength)
	_, err := io.ReadFull(request.Body, body)
	return body, err
}

func (d *door) signed(header string, body []byte) bool {
	var claimed, digest [sha256.Size]byte
	hexed, found := strings.CutPrefix(header, "sha256=")
	if !found || len(hexed) != 2*len(claimed) {
		return false
	}
	if _, err := hex.Decode(claimed[:], []byte(hexed)); err != nil {
		return false
	}
	made := d.digests.Get().(hash.Hash)
	defer d.digests.Put(made)
	made.Reset()
	made.Write(body)
	return hmac.Equal(claimed[:], made.Sum(digest[:0]))
}

// recordsOf cuts a body into its changes; their values are parts of it.
func recordsOf(body []byte, now time.Time) ([]*kgo.Record, error) {
	if !gjson.ValidBytes(body) {
		return nil, errors.New("not JSON")
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	common := []kgo.RecordHeader{
		{Key: "source", Value: []byte("webhook")},
		{Key: "delivery", Value: hex.AppendEncode(nil, random[:])},
		{Key: "received-at", Value: strconv.AppendInt(nil, now.UnixMilli(), 10)},
	}
	entries := gjson.ParseBytes(body).Get("entry")
	if !entries.IsArray() {
		return nil, errors.New("no delivery")
	}
	var records []*kgo.Record
	entries.ForEach(func(_, entry gjson.Result) bool {
		headers := common[:len(common):len(common)]
		var changes gjson.Result
		entry.ForEach(func(name, value gjson.Result) bool {
			switch name.String() {
			case "id":
				headers = append(headers, kgo.RecordHeader{Key: "entry-id", Value: []byte(value.String())})
			case "time":
				headers = append(headers, kgo.RecordHeader{Key: "entry-time", Value: []byte(value.String())})
			case "changes":
				changes = value
			}
			return true
		})
		changes.ForEach(func(_, change gjson.Result) bool {
			records = append(records, &kgo.Record{
				Key:     []byte(change.Get("value.page_id").String()),
				Value:   body[change.Index : change.Index+len(change.Raw)], // where it stands in the body
				Headers: headers,
			})
			return true
		})
		return true
	})
	return records, nil
}

// delivery waits for the records of one POST.
type delivery struct {
	open    atomic.Int64
	failed  atomic.Bool
	settled chan struct{}
}

func (d *delivery) acknowledged(_ *kgo.Record, err error) {
	if err != nil {
		d.failed.Store(true)
	}
	if d.open.Add(-1) == 0 {
		close(d.settled)
	}
}

func (d *door) deliver(sender context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	// Not ended by a sender who goes away: franz-go would have to give up records that it has sent.
	patience, done := context.WithTimeout(context.WithoutCancel(sender), ackTimeout)
	defer done()
	all := &delivery{settled: make(chan struct{})}
	all.open.Store(int64(len(records)))
	for _, record := range records {
		d.kafka.Produce(patience, record, all.acknowledged)
	}
	select {
	case <-all.settled:
		if all.failed.Load() {
			return errors.New("not acknowledged")
		}
		return nil
	case <-patience.Done():
		return patience.Err()
	}
}
