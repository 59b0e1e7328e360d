// Command stub answers as Meta's Graph API does for leads and their forms, fast enough to be nobody's bottleneck.
//
// Any id is a lead or a form that exists, any token opens it, and the answer follows from the id alone (and, for its
// time, from the day). What `fields` asks for is not read: a lead always has what our own client asks for, about 1 kB.
// A batch of up to 50 waits for the latency once, as Meta works on its items side by side. GET /__calls tells how
// often each kind was called.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const maxItems = 50

type stub struct {
	latency time.Duration
	graph   graph
	calls   struct{ lead, form, batch, item, other atomic.Int64 }
}

func main() {
	port := flag.Int("port", 0, "on 127.0.0.1; 0 takes a free one, which is printed")
	latency := flag.Float64("latency-ms", 0, "before each answer")
	pages := flag.Int("pages", 100, "pages that the leads are of, as `load` has them")
	flag.Parse()
	debug.SetGCPercent(400)
	served := &stub{latency: time.Duration(*latency * float64(time.Millisecond)), graph: newGraph(*pages, time.Now())}
	if err := served.run(*port); err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		os.Exit(2)
	}
}

func (s *stub) run(port int) error {
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	server := &fasthttp.Server{
		Handler:               s.handle,
		ReadBufferSize:        16 << 10, // a URL holds a proof and all fields
		MaxRequestBodySize:    8 << 20,
		NoDefaultServerHeader: true,
	}
	return server.Serve(listener)
}

func (s *stub) handle(call *fasthttp.RequestCtx) {
	path := call.Path()
	if bytes.Equal(path, []byte("/__calls")) {
		s.tellCalls(call)
		return
	}
	if s.latency > 0 {
		time.Sleep(s.latency)
	}
	call.SetContentType("application/json; charset=UTF-8")
	call.Response.Header.Set("facebook-api-version", version)
	call.Response.Header.Set("x-app-usage", appUsage)
	id, found := idIn(path)
	switch {
	case call.IsPost() && !found:
		s.batch(call)
	case call.IsGet() && found:
		kind := s.graph.kind(id)
		if kind == form {
			s.calls.form.Add(1)
		} else {
			s.calls.lead.Add(1)
		}
		call.Response.Header.Set("x-business-use-case-usage", s.graph.usage(id))
		call.Response.AppendBody(s.graph.answer(nil, kind, id))
	default:
		s.calls.other.Add(1)
		call.SetStatusCode(fasthttp.StatusBadRequest)
		call.Response.AppendBodyString(missing)
	}
}

func (s *stub) batch(call *fasthttp.RequestCtx) {
	s.calls.batch.Add(1)
	items, withHeaders := posted(call)
	ids, ok := idsIn(items)
	if !ok {
		call.SetStatusCode(fasthttp.StatusBadRequest)
		call.Response.AppendBodyString(missing)
		return
	}
	s.calls.item.Add(int64(len(ids)))
	out := make([]byte, 0, 2500*len(ids))
	for place, id := range ids {
		if place == 0 {
			out = append(out, '[')
		} else {
			out = append(out, ',')
		}
		out = s.graph.item(out, id, withHeaders)
	}
	call.Response.SetBodyRaw(append(out, ']'))
}

// posted is the batch's array, and whether its items' headers are wanted: from a form, or from a JSON body.
func posted(call *fasthttp.RequestCtx) (items []byte, withHeaders bool) {
	if bytes.HasPrefix(call.Request.Header.ContentType(), []byte("application/json")) {
		var body struct {
			Batch          json.RawMessage `json:"batch"`
			IncludeHeaders any             `json:"include_headers"`
		}
		_ = json.Unmarshal(call.PostBody(), &body)
		return body.Batch, body.IncludeHeaders != false && body.IncludeHeaders != "false"
	}
	return call.FormValue("batch"), string(call.FormValue("include_headers")) != "false"
}

var relativeURL = []byte(`"relative_url"`)

// idsIn finds each item's id without reading the rest of it. An id is digits, so nothing about it can be escaped.
func idsIn(items []byte) (ids []uint64, ok bool) {
	for {
		at := bytes.Index(items, relativeURL)
		if at < 0 {
			return ids, 0 < len(ids) && len(ids) <= maxItems
		}
		items = bytes.TrimLeft(items[at+len(relativeURL):], ": \"/")
		end := bytes.IndexAny(items, "?\"")
		if end < 0 {
			return nil, false
		}
		id, found := idIn(items[:end])
		if !found {
			return nil, false
		}
		ids = append(ids, id)
		items = items[end:]
	}
}

// idIn is the id at the end of a path, behind a version or alone.
func idIn(path []byte) (uint64, bool) {
	id, err := strconv.ParseUint(string(path[bytes.LastIndexByte(path, '/')+1:]), 10, 64)
	return id, err == nil
}

func (s *stub) tellCalls(call *fasthttp.RequestCtx) {
	call.SetContentType("application/json")
	_ = json.NewEncoder(call).Encode(map[string]int64{
		"lead":  s.calls.lead.Load(),
		"form":  s.calls.form.Load(),
		"batch": s.calls.batch.Load(),
		"item":  s.calls.item.Load(), // of batches
		"other": s.calls.other.Load(),
	})
}
