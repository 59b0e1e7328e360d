package main

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// drain is how long a rebalance waits for the open records of a partition.
const drain = 5 * time.Second

type partition struct {
	topic  string
	number int32
}

// orders has the order of every partition at hand. Only the goroutine that polls adds to it.
type orders struct {
	mutex sync.Mutex
	all   map[partition]*order
}

func (o *orders) of(record *kgo.Record) *order {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	at := partition{record.Topic, record.Partition}
	if o.all[at] == nil {
		if o.all == nil {
			o.all = map[partition]*order{}
		}
		o.all[at] = &order{ready: map[int64]*kgo.Record{}}
	}
	return o.all[at]
}

func (o *orders) end(topic string, number int32) {
	o.mutex.Lock()
	gone := o.all[partition{topic, number}]
	delete(o.all, partition{topic, number})
	o.mutex.Unlock()
	for end := time.Now().Add(drain); gone != nil && gone.isOpen() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// order knows which records of a partition are open, from the oldest on, and which of them are done.
type order struct {
	mutex sync.Mutex
	open  []int64               // offsets, as they were read
	ready map[int64]*kgo.Record // done, behind one that is not
}

func (o *order) begin(record *kgo.Record) *order {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.open = append(o.open, record.Offset)
	return o
}

// done tells the last record below which nothing is open; nil where it has not moved.
func (o *order) done(record *kgo.Record) (low *kgo.Record) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.ready[record.Offset] = record
	for len(o.open) > 0 {
		first := o.ready[o.open[0]]
		if first == nil {
			break
		}
		low = first
		delete(o.ready, first.Offset)
		o.open = o.open[1:]
	}
	return low
}

func (o *order) isOpen() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return len(o.open) > 0
}
