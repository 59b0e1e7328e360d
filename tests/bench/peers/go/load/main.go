// Command load posts signed deliveries to a webhook and prints what became of them as one JSON line.
//
// Every request is made, signed and written out before the clock starts; each connection is kept alive and carries one
// POST at a time. With --rate, a POST's time runs from when it was due, so that a door that stalls cannot hide behind
// the POSTs it held back. What is not answered in time counts as an error and is never sent again.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// refusedPause is how long a connection waits after a refusal, as Meta does not come again at once either: else the cost
// of what a door accepts would be that of refusals in a hot loop.
const refusedPause = 100 * time.Millisecond

type options struct {
	target      *url.URL
	connections int
	posts       int           // 0: as many as fit into `length`
	length      time.Duration // 0: until `posts` are sent
	rate        float64       // POSTs per second; 0: each connection sends as soon as it was answered
	timeout     time.Duration
	idsFile     string
	timesFile   string
	bodies      bodies
}

type report struct {
	Posts           int            `json:"posts"`
	Status          map[string]int `json:"status"`
	ChangesAccepted int            `json:"changes_accepted"`
	Seconds         float64        `json:"seconds"`
	P50             float64        `json:"p50_ms"` // of the POSTs answered 200, like p99 and max
	P99             float64        `json:"p99_ms"`
	Max             float64        `json:"max_ms"`
	Errors          int            `json:"errors"` // refused, broken off or not answered in time
	CPUSeconds      float64        `json:"cpu_seconds"`
}

// outcome is one POST: its number, when it was sent (or due), how long its answer took.
type outcome struct {
	number int
	at     time.Time
	took   time.Duration
	status int // 0: no answer
}

func main() {
	debug.SetGCPercent(400) // what is kept is small, and this program must not take its server's CPU
	chosen, err := read(os.Args[1:])
	if err == nil {
		err = run(chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
}

func read(arguments []string) (options, error) {
	var chosen options
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	target := flags.String("url", "", "the webhook, http://HOST:PORT/PATH")
	flags.StringVar(&chosen.bodies.secret, "secret", "", "the app secret that signs")
	flags.IntVar(&chosen.connections, "connections", 64, "connections, each with one POST under way")
	flags.IntVar(&chosen.posts, "posts", 0, "how many POSTs, each with lead ids of its own")
	seconds := flags.Float64("seconds", 0, "for how long, instead of --posts; lead ids come again")
	flags.IntVar(&chosen.bodies.changes, "changes", 1, "changes in a POST")
	flags.IntVar(&chosen.bodies.pages, "pages", 100, "pages that the changes are of")
	flags.Float64Var(&chosen.rate, "rate", 0, "POSTs per second, whatever the answers take; 0 is as fast as they come")
	flags.BoolVar(&chosen.bodies.get, "get", false, "GET a lead below the URL each time, with the secret as its token")
	flags.Int64Var(&chosen.bodies.firstLead, "first-lead", 1_000_000_000_000_000, "the first lead id, a multiple of 10")
	flags.DurationVar(&chosen.timeout, "timeout", 30*time.Second, "for an answer")
	flags.StringVar(&chosen.idsFile, "ids", "", "write the lead ids of POSTs answered 200 here, one a line")
	flags.StringVar(&chosen.timesFile, "times", "", "write the first lead id and the unix nanoseconds of each such POST here")
	if err := flags.Parse(arguments); err != nil {
		return chosen, err
	}
	chosen.length = time.Duration(*seconds * float64(time.Second))
	var err error
	chosen.target, err = url.Parse(*target)
	switch {
	case err != nil || chosen.target.Scheme != "http" || chosen.target.Port() == "":
		return chosen, errors.New("--url is http://HOST:PORT/PATH")
	case (chosen.posts > 0) == (chosen.length > 0):
		return chosen, errors.New("one of --posts and --seconds says how much")
	case chosen.bodies.firstLead%entryChanges != 0:
		return chosen, errors.New("--first-lead is a multiple of 10")
	case chosen.connections < 1 || chosen.bodies.changes < 1 || chosen.bodies.pages < 1:
		return chosen, errors.New("--connections, --changes and --pages are at least 1")
	}
	return chosen, nil
}

func run(chosen options) error {
	many := chosen.posts
	if many == 0 {
		many = max(1, min(20_000, 200_000/chosen.bodies.changes))
	}
	requests := chosen.bodies.requests(chosen.target, many)
	connections, err := dial(chosen)
	if err != nil {
		return err
	}
	var next atomic.Int64
	var done sync.WaitGroup
	outcomes := make([][]outcome, len(connections))
	var began time.Time
	start := make(chan struct{})
	for i, each := range connections {
		done.Go(func() {
			<-start
			outcomes[i] = each.work(chosen, requests, &next, began)
		})
	}
	cpu := cpuSeconds()
	began = time.Now()
	close(start)
	done.Wait()
	ended := time.Now()
	cpu = cpuSeconds() - cpu
	all := slices.Concat(outcomes...)
	if err := write(chosen, all, many); err != nil {
		return err
	}
	told := tell(chosen, all)
	told.Seconds = ended.Sub(began).Seconds()
	told.CPUSeconds = cpu
	return json.NewEncoder(os.Stdout).Encode(told)
}

// connection is one kept-alive connection, opened again when its server or a missed answer ended it.
type connection struct {
	address string
	timeout time.Duration
	conn    net.Conn
	in      *bufio.Reader
}

func dial(chosen options) ([]*connection, error) {
	all := make([]*connection, chosen.connections)
	for i := range all {
		all[i] = &connection{address: chosen.target.Host, timeout: chosen.timeout}
		if err := all[i].open(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c *connection) open() (err error) {
	if c.conn, err = net.DialTimeout("tcp", c.address, c.timeout); err == nil {
		c.in = bufio.NewReaderSize(c.conn, 1024)
	}
	return err
}

func (c *connection) close() {
	_ = c.conn.Close()
	c.conn = nil
}

func (c *connection) work(chosen options, requests [][]byte, next *atomic.Int64, began time.Time) []outcome {
	var outcomes []outcome
	for {
		number := int(next.Add(1) - 1)
		at := time.Now()
		if chosen.rate > 0 {
			due := began.Add(time.Duration(float64(number) / chosen.rate * float64(time.Second)))
			time.Sleep(due.Sub(at))
			at = due
		}
		if (chosen.posts > 0 && number >= chosen.posts) || (chosen.length > 0 && at.Sub(began) >= chosen.length) {
			if c.conn != nil {
				c.close()
			}
			return outcomes
		}
		status := c.post(requests[number%len(requests)])
		outcomes = append(outcomes, outcome{number: number, at: at, took: time.Since(at), status: status})
		if status != http.StatusOK {
			time.Sleep(refusedPause)
		}
	}
}

// post sends one request and reads the whole answer; 0 where there was none.
func (c *connection) post(request []byte) int {
	if c.conn == nil {
		if c.open() != nil {
			return 0
		}
	}
	_ = c.conn.SetDeadline(time.Now().Add(c.timeout))
	if _, err := c.conn.Write(request); err != nil {
		c.close()
		return 0
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.close()
		return 0
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err != nil || response.Close {
		c.close()
	}
	if err != nil {
		return 0
	}
	return response.StatusCode
}

func tell(chosen options, all []outcome) report {
	told := report{Posts: len(all), Status: map[string]int{}}
	var took []time.Duration
	for _, each := range all {
		switch each.status {
		case 0:
			told.Errors++
			continue
		case http.StatusOK:
			told.ChangesAccepted += chosen.bodies.changes
			took = append(took, each.took)
		}
		told.Status[strconv.Itoa(each.status)]++
	}
	if len(took) > 0 {
		slices.Sort(took)
		told.P50, told.P99, told.Max = percentile(took, 0.5), percentile(took, 0.99), percentile(took, 1)
	}
	return told
}

// percentile is the nearest rank of what is sorted, in milliseconds.
func percentile(took []time.Duration, share float64) float64 {
	rank := int(math.Ceil(share*float64(len(took)))) - 1
	return float64(took[max(rank, 0)].Microseconds()) / 1000
}

func write(chosen options, all []outcome, many int) error {
	for name, line := range map[string]func(io.Writer, outcome){
		chosen.idsFile: func(out io.Writer, each outcome) {
			for k := range chosen.bodies.changes {
				fmt.Fprintln(out, chosen.bodies.lead(each.number%many, k))
			}
		},
		chosen.timesFile: func(out io.Writer, each outcome) {
			fmt.Fprintln(out, chosen.bodies.lead(each.number%many, 0), each.at.UnixNano())
		},
	} {
		if name == "" {
			continue
		}
		file, err := os.Create(name)
		if err != nil {
			return err
		}
		out := bufio.NewWriter(file)
		for _, each := range all {
			if each.status == http.StatusOK {
				line(out, each)
			}
		}
		if err := errors.Join(out.Flush(), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
