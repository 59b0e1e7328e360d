// Command enrich turns notifications into leads, as one would write it by hand with net/http and franz-go.
//
// CONCURRENCY workers each ask the Graph API for one lead at a time and produce what it says (acks=all, idempotent).
// A partition's offset is committed only up to the first record whose lead is not yet acknowledged; a rebalance waits
// for what is open. A call that fails is made again, further and further apart.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	linger = 2 * time.Millisecond
	// What leadstream asks for.
	fields = "id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,is_organic," +
		"platform,partner_name,retailer_item_id,home_listing,vehicle,custom_disclaimer_responses,field_data," +
		"post_submission_check_result"
)

type enrichment struct {
	kafka  *kgo.Client
	graph  *http.Client
	url    string
	token  string
	out    string
	work   chan open
	orders orders
}

// open is a record that has been read, and the order of the partition that it is of.
type open struct {
	record *kgo.Record
	order  *order
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "enrich:", err)
		os.Exit(1)
	}
}

func run() error {
	concurrency, err := strconv.Atoi(os.Getenv("CONCURRENCY"))
	if err != nil || concurrency < 1 {
		return errors.New("CONCURRENCY is how many calls are under way at once")
	}
	it := &enrichment{
		graph: &http.Client{
			Transport: &http.Transport{
				MaxIdleConns:        concurrency,
				MaxIdleConnsPerHost: concurrency,
				MaxConnsPerHost:     concurrency,
			},
			Timeout: 10 * time.Second,
		},
		url:   os.Getenv("GRAPH_URL") + "/v25.0/",
		token: "Bearer " + os.Getenv("TOKEN"),
		out:   os.Getenv("OUT"),
		work:  make(chan open),
	}
	it.kafka, err = kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), ",")...),
		kgo.RequiredAcks(kgo.AllISRAcks()), // idempotent, as it is unless told otherwise
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(linger),
		kgo.ConsumerGroup(os.Getenv("GROUP")),
		kgo.ConsumeTopics(os.Getenv("IN")),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(it.revoked),
		kgo.OnPartitionsLost(it.revoked),
	)
	if err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for each := range it.work {
				it.enrich(stop, each)
			}
		})
	}
	for stop.Err() == nil {
		fetched := it.kafka.PollRecords(stop, 4*concurrency)
		fetched.EachRecord(func(record *kgo.Record) {
			select {
			case it.work <- open{record: record, order: it.orders.of(record).begin(record)}:
			case <-stop.Done():
			}
		})
		it.kafka.AllowRebalance()
	}
	close(it.work)
	workers.Wait()
	patience, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	flushed := it.kafka.Flush(patience)
	committed := it.kafka.CommitMarkedOffsets(patience)
	it.kafka.CloseAllowingRebalance()
	return errors.Join(flushed, committed)
}

// enrich gives up only when the program stops: the record stays open, and whoever has its partition next reads it.
func (e *enrichment) enrich(stop context.Context, each open) {
	lead, ok := e.ask(stop, gjson.GetBytes(each.record.Value, "value.leadgen_id").String())
	for pause := 100 * time.Millisecond; !ok; pause = min(2*pause, 5*time.Second) {
		select {
		case <-stop.Done():
			return
		case <-time.After(pause):
		}
		lead, ok = e.ask(stop, gjson.GetBytes(each.record.Value, "value.leadgen_id").String())
	}
	e.kafka.Produce(context.Background(), &kgo.Record{
		Topic:   e.out,
		Key:     []byte(gjson.GetBytes(each.record.Value, "value.leadgen_id").String()),
		Value:   lead,
		Headers: each.record.Headers,
	}, func(_ *kgo.Record, err error) {
		if err != nil { // the client has given up: end before anything past it is committed
			fmt.Fprintln(os.Stderr, "enrich:", err)
			os.Exit(1)
		}
		if low := each.order.done(each.record); low != nil {
			e.kafka.MarkCommitRecords(low)
		}
	})
}

func (e *enrichment) ask(stop context.Context, lead string) ([]byte, bool) {
	request, err := http.NewRequestWithContext(stop, http.MethodGet, e.url+lead+"?fields="+fields, nil)
	if err != nil {
		return nil, false
	}
	request.Header.Set("Authorization", e.token)
	response, err := e.graph.Do(request)
	if err != nil {
		return nil, false
	}
	defer response.Body.Close()
	body, err := read(response)
	return body, err == nil && response.StatusCode == http.StatusOK
}

func read(response *http.Response) ([]byte, error) {
	if response.ContentLength < 0 {
		return io.ReadAll(response.Body)
	}
	body := make([]byte, response.ContentLength)
	_, err := io.ReadFull(response.Body, body)
	return body, err
}

// revoked waits for what is open of the partitions, and tells how far they are done.
func (e *enrichment) revoked(stop context.Context, kafka *kgo.Client, gone map[string][]int32) {
	for topic, partitions := range gone {
		for _, partition := range partitions {
			e.orders.end(topic, partition)
		}
	}
	_ = kafka.CommitMarkedOffsets(stop) // where the group has gone on without us, the next owner reads them again
}
