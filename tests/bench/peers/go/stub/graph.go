package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	version   = "v25.0"
	firstPage = 100_000_000_000_000
	firstForm = 300_000_000_000_000 // a page has one
	firstAd   = 500_000_000_000_000
	// What `load` gives: ten leads of one page, then ten of the next.
	leadsInARow = 10

	appUsage = `{"call_count":1,"total_cputime":1,"total_time":1}`
	missing  = `{"error":{"message":"Unsupported get request.","type":"GraphMethodException","code":100,` +
		`"error_subcode":33,"fbtrace_id":"A0"}}`
)

type kind int

const (
	lead kind = iota
	form
)

// graph makes every answer from two texts, once as they are and once as a JSON string holds them.
type graph struct {
	pages         uint64
	day           time.Time
	plain, quoted [2]template
}

func newGraph(pages int, now time.Time) graph {
	made := graph{pages: uint64(pages), day: now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)}
	for kind, text := range map[kind]string{lead: leadText, form: formText} {
		made.plain[kind] = parse(text)
		made.quoted[kind] = parse(quoted(text))
	}
	return made
}

func (g *graph) kind(id uint64) kind {
	if id >= firstForm && id < firstForm+g.pages {
		return form
	}
	return lead
}

// page is the number of the page that a lead or a form is of.
func (g *graph) page(id uint64) uint64 {
	if g.kind(id) == form {
		return id - firstForm
	}
	return id / leadsInARow % g.pages
}

func (g *graph) answer(out []byte, kind kind, id uint64) []byte {
	return g.fill(out, g.plain[kind], id)
}

// item is one element of a batch's answer.
func (g *graph) item(out []byte, id uint64, withHeaders bool) []byte {
	out = append(out, `{"code":200,`...)
	if withHeaders {
		out = append(out, `"headers":[`...)
		out = append(out, itemHeaders...)
		out = strconv.AppendUint(append(out, usageHead...), firstPage+g.page(id), 10)
		out = append(append(out, usageTail...), `],`...)
	}
	out = append(out, `"body":"`...)
	out = g.fill(out, g.quoted[g.kind(id)], id)
	return append(out, `"}`...)
}

func (g *graph) usage(id uint64) string {
	return fmt.Sprintf(`{"%d":[{"type":"leadgen","call_count":1,"total_cputime":1,"total_time":1,`+
		`"estimated_time_to_regain_access":0}]}`, firstPage+g.page(id))
}

// What stands in every item of a batch; the page's usage comes last, so that its id can be put in.
var (
	itemHeaders = `{"name":"Access-Control-Allow-Origin","value":"*"},` +
		`{"name":"Cache-Control","value":"private, no-cache, no-store, must-revalidate"},` +
		`{"name":"Pragma","value":"no-cache"},` +
		`{"name":"Content-Type","value":"application/json; charset=UTF-8"},` +
		`{"name":"facebook-api-version","value":"` + version + `"},` +
		`{"name":"x-app-usage","value":"` + quoted(appUsage) + `"},`
	usageHead = `{"name":"x-business-use-case-usage","value":"{\"`
	usageTail = quoted(`":[{"type":"leadgen","call_count":1,"total_cputime":1,"total_time":1,`+
		`"estimated_time_to_regain_access":0}]}`) + `"}`
)

// template is a text cut at its places: `pieces` stand before each of `places`, and one behind the last.
type template struct {
	pieces [][]byte
	places []string
}

func parse(text string) template {
	var cut template
	for {
		before, rest, found := strings.Cut(text, "<")
		cut.pieces = append(cut.pieces, []byte(before))
		if !found {
			return cut
		}
		place, after, _ := strings.Cut(rest, ">")
		cut.places = append(cut.places, place)
		text = after
	}
}

func (g *graph) fill(out []byte, from template, id uint64) []byte {
	page := g.page(id)
	for i, place := range from.places {
		out = append(out, from.pieces[i]...)
		switch place {
		case "id":
			out = strconv.AppendUint(out, id, 10)
		case "page":
			out = strconv.AppendUint(out, firstPage+page, 10)
		case "form":
			out = strconv.AppendUint(out, firstForm+page, 10)
		case "ad":
			out = strconv.AppendUint(out, firstAd+page, 10)
		case "time":
			out = g.day.Add(time.Duration(id%86400)*time.Second).AppendFormat(out, "2006-01-02T15:04:05-0700")
		case "first":
			out = append(out, firstNames[id%uint64(len(firstNames))]...)
		case "last":
			out = append(out, lastNames[id/7%uint64(len(lastNames))]...)
		case "choice":
			out = append(out, choices[id/3%uint64(len(choices))]...)
		case "digits":
			out = strconv.AppendUint(out, 1_000_000+id%9_000_000, 10)
		}
	}
	return append(out, from.pieces[len(from.places)]...)
}

// quoted is a text as it stands between the quotation marks of a JSON string, with the places left as they are.
func quoted(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // no string is refused
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(out.String()), `"`), `"`)
}

var (
	firstNames = []string{"Ada", "Bruno", "Carla", "Dmitri", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kaori"}
	lastNames  = []string{"Abe", "Brandt", "Costa", "Dubois", "Eriksen", "Ferrari", "Garcia", "Haddad", "Ivanov", "Jansen"}
	choices    = []string{"hybrid", "electric", "petrol", "not_sure"}
)

// Meta escapes what is beyond ASCII.
const leadText = `{"id":"<id>","created_time":"<time>","ad_id":"<ad>","ad_name":"Autumn drive \/ video",` +
	`"adset_id":"<ad>1","adset_name":"US 25-54, lookalike","campaign_id":"<ad>2","campaign_name":"Leads | US | Q4",` +
	`"form_id":"<form>","is_organic":false,"platform":"fb",` +
	`"custom_disclaimer_responses":[{"checkbox_key":"optional_1","is_checked":"1"}],` +
	`"field_data":[{"name":"full_name","values":["<first> <last>"]},` +
	`{"name":"email","values":["<first>.<last>.<digits>\u0040example.com"]},` +
	`{"name":"phone_number","values":["+1555<digits>"]},` +
	`{"name":"city","values":["M\u00fcnchen"]},` +
	`{"name":"zip_code","values":["<digits>"]},` +
	`{"name":"company_name","values":["<last> & Sons, Importers of Fine Wheels"]},` +
	`{"name":"which_engine_would_you_like?","values":["<choice>"]},` +
	`{"name":"anything_else_we_should_know?","values":["I drive 60\u0025 in the city, 40\u0025 on the highway."]}],` +
	`"post_submission_check_result":{"api_call_result":"SUCCESS","shown_thank_you_page":"DEFAULT"}}`

const formText = `{"id":"<id>","name":"Test drive <page>","locale":"en_US","status":"ACTIVE","page_id":"<page>",` +
	`"questions":[{"type":"FULL_NAME","key":"full_name","label":"Full name","id":"<id>1"},` +
	`{"type":"EMAIL","key":"email","label":"Email","id":"<id>2"},` +
	`{"type":"PHONE","key":"phone_number","label":"Phone number","id":"<id>3"},` +
	`{"type":"CITY","key":"city","label":"City","id":"<id>4"},` +
	`{"type":"ZIP","key":"zip_code","label":"Zip code","id":"<id>5"},` +
	`{"type":"COMPANY_NAME","key":"company_name","label":"Company name","id":"<id>6"},` +
	`{"type":"CUSTOM","key":"which_engine_would_you_like?","label":"Which engine would you like?","id":"<id>7",` +
	`"options":[{"key":"hybrid","value":"Hybrid"},{"key":"electric","value":"Electric"},` +
	`{"key":"petrol","value":"Petrol"},{"key":"not_sure","value":"Not sure"}]},` +
	`{"type":"CUSTOM","key":"anything_else_we_should_know?","label":"Anything else we should know?","id":"<id>8"}],` +
	`"legal_content":{"id":"<id>91","privacy_policy":{"url":"https:\/\/example.com\/privacy","link_text":"Privacy"},` +
	`"custom_disclaimer":{"title":"Stay in touch","body":{"text":"You can leave at any time."},` +
	`"checkboxes":[{"id":"<id>92","key":"optional_1","text":"I agree to receive offers by e-mail.",` +
	`"is_required":false,"is_checked_by_default":false}]}},` +
	`"privacy_policy_url":"https:\/\/example.com\/privacy","tracking_parameters":[],` +
	`"is_optimized_for_quality":false,"created_time":"2026-09-01T08:00:00+0000"}`
