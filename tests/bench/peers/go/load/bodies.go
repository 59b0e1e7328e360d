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
	entryChanges  = 10 // at most, of one page; a POST with more has more entries
	requestFormat = "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: facebookexternalua\r\nContent-Type: application/json\r\n" +
		"Accept: */*\r\nX-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\n\r\n"
)

// bodies says what is posted: Meta's shape, ids as strings.
type bodies struct {
	secret    string
	changes   int
	pages     int
	firstLead int64
}

// lead is the id of change `k` of POST `number`.
func (b bodies) lead(number, k int) int64 {
	return b.firstLead + int64(number)*int64(b.changes) + int64(k)
}

// requests are `many` whole HTTP requests, signed.
func (b bodies) requests(target *url.URL, many int) [][]byte {
	now := time.Now().Unix()
	digest := hmac.New(sha256.New, []byte(b.secret))
	made := make([][]byte, many)
	var body bytes.Buffer
	page := 0
	for number := range made {
		body.Reset()
		body.WriteString(`{"object":"page","entry":[`)
		for first := 0; first < b.changes; first += entryChanges {
			if first > 0 {
				body.WriteByte(',')
			}
			b.entry(&body, number, first, page%b.pages, now)
			page++
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

func (b bodies) entry(out *bytes.Buffer, number, first, page int, now int64) {
	pageID, formID := strconv.Itoa(firstPage+page), strconv.Itoa(firstForm+page)
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
