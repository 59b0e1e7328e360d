package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

const (
	firstPage     = 100_000_000_000_000
	firstForm     = 300_000_000_000_000 // a page has one
	firstAd       = 500_000_000_000_000
	entryChanges  = 10 // at most, of one page: ten leads are of one, then ten of the next; `stub` knows them so
	requestFormat = "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: facebookexternalua\r\nContent-Type: application/json\r\n" +
		"Accept: */*\r\nX-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\n\r\n"
)

// bodies says what is posted: Meta's shape, ids as strings.
type bodies struct {
	secret    string
	changes   int
	pages     int
	firstLead int64
	get       bool // asks for the lead instead, as an enrichment does
}

// lead is the id of change `k` of POST `number`.
func (b bodies) lead(number, k int) int64 {
	return b.firstLead + int64(number)*int64(b.changes) + int64(k)
}

// requests are `many` whole HTTP requests, signed where they are POSTs.
func (b bodies) requests(target *url.URL, many int) [][]byte {
	now := time.Now().Unix()
	digest := hmac.New(sha256.New, []byte(b.secret))
	made := make([][]byte, many)
	var body bytes.Buffer
	for number := range made {
		if b.get {
			made[number] = fmt.Appendf(nil, "GET %s/%d?fields=id,created_time,form_id,field_data HTTP/1.1\r\nHost: %s\r\n"+
				"Authorization: Bearer %s\r\n\r\n", target.Path, b.lead(number, 0), target.Host, b.secret)
			continue
		}
		body.Reset()
		body.WriteString(`{"object":"page","entry":[`)
		for first := 0; first < b.changes; first += entryChanges {
			if first > 0 {
				body.WriteByte(',')
			}
			b.entry(&body, number, first, now)
		}
		body.WriteString(`]}`)
		digest.Reset()
		digest.Write(body.Bytes())
		var request bytes.Buffer
		fmt.Fprintf(&request, requestFormat, target.RequestURI(), target.Host, hex.EncodeToString(digest.Sum(nil)), body.Len())
		request.Write(body.Bytes())
		made[number] = request.Bytes()
	}
	return made
}

func (b bodies) entry(out *bytes.Buffer, number, first int, now int64) {
	page := b.lead(number, first) / entryChanges % int64(b.pages)
	pageID, formID := strconv.FormatInt(firstPage+page, 10), strconv.FormatInt(firstForm+page, 10)
	fmt.Fprintf(out, `{"id":"%s","time":%d,"changes":[`, pageID, now)
	for k := first; k < min(first+entryChanges, b.changes); k++ {
		if k > first {
			out.WriteByte(',')
		}
		ad := firstAd + page
		fmt.Fprintf(out, `{"field":"leadgen","value":{"leadgen_id":"%d","page_id":"%s","form_id":"%s",`+
			`"adgroup_id":"%d","ad_id":"%d","created_time":%d}}`, b.lead(number, k), pageID, formID, ad, ad, now)
	}
	out.WriteString(`]}`)
}
