// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package stack tests the services that docker-compose.yaml combines, with the real servers.
package stack

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/internal/dashboards"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// noShare is why queries and metrics of a share have no data: there is one collector.
const noShare = "one machine shares nothing"

// noData has the queries that return no data as long as nothing is wrong, and why.
var noData = map[string]string{
	"alert CollectorDown":                    "the collector runs",
	"alert InferenceUnavailable":             "no model runs on a server",
	"panel Queue and compute time A":         "no model runs on a server",
	"panel Queue and compute time B":         "no model runs on a server",
	"panel Batch size and people A":          "no model runs on a server",
	"alert ShareStalled":                     noShare,
	"alert ShareUncoordinated":               noShare,
	"alert ShareTakeovers":                   noShare,
	"alert ShareCommitsFenced":               noShare,
	"alert ShareBrokerUnavailable":           noShare,
	"panel Units A":                          noShare,
	"panel Taken over and refused A":         noShare,
	"panel Taken over and refused B":         noShare,
	"panel Taken over and refused C":         noShare,
	"panel Servers of the share A":           noShare,
	"alert QueueGrowing":                     "the queue is short",
	"alert SlowerThanRealTime":               "depends on the machine",
	"alert GPUMemoryNearLimitWithManyPeople": "the GPUs of the shim have enough free memory",
	"alert GPUFailed":                        "the GPUs of the shim are well",
	"alert GPUErrors":                        "the GPUs of the shim are well",
	"alert TelemetryDropped":                 "no span was dropped",
	"alert ExportFailed":                     "the exporter to Jaeger is still trying",
	"alert ExportQueueFilling":               "the queue has room",
	"alert ValuesRejected":                   "every value is a number",
	"alert TelemetryRefused":                 "nothing was refused",
	"alert MasksUncertain":                   "most heads have keypoints",
	"alert FramesMaskedWhole":                "every frame was analyzed",
}

func TestPromtool(t *testing.T) {
	dir := filepath.Join(collector.Root(), "config", "stack", "prometheus")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "rules.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		command := exec.Command("promtool", args...)
		command.Dir = dir
		out, err := command.CombinedOutput()
		assert.NoError(t, err, "promtool %s:\n%s", strings.Join(args, " "), out)
	}
}

// TestEachAlertIsTested checks that rules_test.yml tests each alert both quiet and firing.
func TestEachAlertIsTested(t *testing.T) {
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(readText(t, "config", "stack", "prometheus", "rules_test.yml")), &tests))
	quiet, firing := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, alert := range test.Alerts {
			if len(alert.Expected) == 0 {
				quiet[alert.Name] = true
			} else {
				firing[alert.Name] = true
			}
		}
	}
	var file ruleFile
	readYAML(t, &file, "config", "stack", "prometheus", "rules.yml")
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert != "" {
				assert.True(t, quiet[rule.Alert], "%s is never quiet in rules_test.yml", rule.Alert)
				assert.True(t, firing[rule.Alert], "%s never fires in rules_test.yml", rule.Alert)
			}
		}
	}
}

// ruleFile is the format of rules.yml.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Record, Alert, Expr string
			For                 string            `yaml:"for"`
			Labels, Annotations map[string]string `yaml:",omitempty"`
		}
	}
}

// queries returns every query of the dashboards, rules and alerts, by its place.
func queries(t *testing.T, pages map[string]dashboards.Dashboard) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(where, expr string) {
		require.NotContains(t, all, where, "two queries by one name")
		all[where] = expr
	}
	variables := strings.NewReplacer("$__rate_interval", "15s", "$service", ".*", "$video", ".*", "$gpu", ".*")
	for _, page := range pages {
		for _, panel := range page.Panels {
			if panel.Panel == nil {
				continue // a row's heading
			}
			for _, target := range panel.Panel.Targets {
				query, ok := target.(prometheus.Dataquery)
				require.True(t, ok, "panel %s asks something other than Prometheus", *panel.Panel.Title)
				add("panel "+*panel.Panel.Title+" "+*query.RefId, variables.Replace(query.Expr))
			}
		}
	}
	var file ruleFile
	readYAML(t, &file, "config", "stack", "prometheus", "rules.yml")
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Record != "" {
				add("rule "+rule.Record, rule.Expr)
			} else {
				add("alert "+rule.Alert, rule.Expr)
			}
		}
	}
	return all
}

// TestEveryQuery processes real videos, one of them broken, while a real Prometheus scrapes the collector, and runs all
// queries of dashboards, rules and alerts: each must parse, and each must have returned data, except those that do so
// only if something is wrong.
func TestEveryQuery(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the built collector on real footage")
	}
	pages, err := dashboards.All()
	require.NoError(t, err)
	s := startCollector(t, "127.0.0.1:1") // no Jaeger: metrics do not depend on it
	begin := time.Now()
	server := startPrometheus(t, s)
	time.Sleep(2 * time.Second) // so that Prometheus has seen counters at zero
	s.drop("walk.mp4", "walk.mp4")
	s.drop("talk.mp4", "talk.mp4")
	s.dropBroken("talk.mp4", "broken.mp4")
	require.Eventually(t, func() bool {
		failed := `sum(otel_traces_span_metrics_calls_total{span_name="anonymize_video", error_type!=""})`
		return value(t, server, `sum(otel_anonymizer_videos_total)`) == "3" && value(t, server, failed) == "1"
	}, 90*time.Second, time.Second, "all videos are processed")
	time.Sleep(3 * time.Second) // a rate needs samples after the last change

	asked := queries(t, pages)
	empty := 0
	for _, where := range slices.Sorted(maps.Keys(asked)) {
		series, err := series(t, server, asked[where], begin)
		if !assert.NoError(t, err, "%s: %s", where, asked[where]) {
			continue
		}
		reason, expected := noData[where]
		if series == 0 {
			empty++
			assert.True(t, expected, "%s has no data: %s", where, asked[where])
		}
		if series > 0 {
			reason = ""
		}
		t.Logf("%-60s %3d series %s", where, series, reason)
	}
	t.Logf("%d queries, %d of them with data", len(asked), len(asked)-empty)
	for where := range noData {
		assert.Contains(t, asked, where, "an exception for a missing query")
	}

	for _, where := range slices.Sorted(maps.Keys(asked)) {
		if strings.HasPrefix(where, "alert ") && noData[where] != noShare {
			checkMetrics(t, server, where, asked[where], begin)
		}
	}
	for _, page := range pages {
		for _, variable := range page.Templating.List {
			checkVariable(t, server, variable)
		}
	}
	checkExemplars(t, server, begin)
	checkDocumented(t, server)
	assert.Eventually(t, func() bool { return value(t, server, `count({anonymizer_video_name!=""})`) == "" },
		time.Minute, time.Second, "no series of a finished video is served a minute later")
	s.stop()
}

// startPrometheus runs Prometheus with the stack's configuration on the collector's ports, with short intervals. It
// returns its URL.
func startPrometheus(t *testing.T, s *site) string {
	t.Helper()
	dir := t.TempDir()
	adapt := strings.NewReplacer("anonymizer:8000", s.metrics, "anonymizer:8888", s.self,
		"scrape_interval: 5s", "scrape_interval: 1s", "evaluation_interval: 15s", "evaluation_interval: 1s")
	for _, name := range []string{"prometheus.yml", "rules.yml"} {
		text := adapt.Replace(readText(t, "config", "stack", "prometheus", name))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	free, err := collector.FreeAddresses(1)
	require.NoError(t, err)
	serve(t, "http://"+free[0]+"/-/ready", nil, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+free[0],
		"--enable-feature=exemplar-storage")
	return "http://" + free[0]
}

// series counts the series that the query returns.
func series(t *testing.T, server, query string, begin time.Time) (int, error) {
	t.Helper()
	var answer struct{ Data struct{ Result []any } }
	err := ask(t, &answer, server+"/api/v1/query_range", url.Values{
		"query": {query}, "step": {"1"}, "start": {seconds(begin)}, "end": {seconds(time.Now())},
	})
	return len(answer.Data.Result), err
}

func seconds(at time.Time) string { return fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000) }

// value returns the value of a query with a single result; "" otherwise.
func value(t *testing.T, server, query string) string {
	t.Helper()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	require.NoError(t, ask(t, &answer, server+"/api/v1/query", url.Values{"query": {query}}))
	if len(answer.Data.Result) != 1 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

// checkMetrics checks that the metrics of an alert exist, so that it is not quiet just because they are missing.
func checkMetrics(t *testing.T, server, where, expr string, begin time.Time) {
	t.Helper()
	names := regexp.MustCompile(`\b(?:(?:exporter|metric|service):|otel_|otelcol_)[a-z0-9_:]*`)
	for _, name := range names.FindAllString(expr, -1) {
		if name == "otel_signal" {
			continue // a label
		}
		found, err := series(t, server, name, begin)
		require.NoError(t, err)
		assert.Positive(t, found, "%s uses %s", where, name)
	}
}

func checkVariable(t *testing.T, server string, variable dashboard.VariableModel) {
	t.Helper()
	query := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(*variable.Definition)
	require.NotNil(t, query, "variable %s is not the values of a label: %s", variable.Name, *variable.Definition)
	var answer struct{ Data []string }
	require.NoError(t, ask(t, &answer, server+"/api/v1/label/"+query[2]+"/values", url.Values{"match[]": {query[1]}}))
	assert.NotEmpty(t, answer.Data, "variable %s has no values", variable.Name)
}

// checkExemplars checks that a latency bucket links to a trace.
func checkExemplars(t *testing.T, server string, begin time.Time) {
	t.Helper()
	var answer struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	require.NoError(t, ask(t, &answer, server+"/api/v1/query_exemplars", url.Values{
		"query": {`otel_traces_span_metrics_duration_milliseconds_bucket{span_name="process_single_frame"}`},
		"start": {seconds(begin)}, "end": {seconds(time.Now())},
	}))
	require.NotEmpty(t, answer.Data, "no exemplars")
	assert.Len(t, answer.Data[0].Exemplars[0].Labels["trace_id"], 32)
}

// notAlways are the metrics in docs/telemetry.md that do not exist before their first increment, or without a share.
var notAlways = []string{
	"otelcol_attrtometrics_values_rejected", "otelcol_attrtometrics_values_overflowed",
	"otelcol_attrtometrics_series_expired", "otelcol_attrtometrics_flush_failures",
	"otelcol_receiver_videoanonymizer_share_broker_available", "otelcol_receiver_videoanonymizer_share_fenced_commits",
	"otelcol_receiver_videoanonymizer_share_takeovers", "otelcol_receiver_videoanonymizer_share_units",
	"otelcol_receiver_videoanonymizer_share_units_redone",
}

// checkDocumented compares the tables of docs/telemetry.md with the metrics and labels in Prometheus.
func checkDocumented(t *testing.T, server string) {
	t.Helper()
	documented := map[string][]string{}
	code := regexp.MustCompile("`(\\w+)`")
	for _, row := range regexp.MustCompile("(?m)^\\| (`otel.*?) \\| (.*?) \\|").FindAllStringSubmatch(
		readText(t, "docs", "telemetry.md"), -1) {
		var labels []string
		for _, label := range code.FindAllStringSubmatch(strings.ReplaceAll(row[2], " or `processor`", ""), -1) {
			labels = append(labels, label[1])
		}
		for _, name := range code.FindAllStringSubmatch(row[1], -1) {
			documented[name[1]] = labels
		}
	}
	var names struct{ Data []string }
	require.NoError(t, ask(t, &names, server+"/api/v1/label/__name__/values", nil))
	emitted := map[string]bool{}
	for _, name := range names.Data {
		if !regexp.MustCompile(`^otel_|^otelcol_(attrtometrics|receiver_videoanonymizer)_`).MatchString(name) {
			continue // from Prometheus itself, or from upstream components
		}
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasSuffix(name, "people_count") {
			base = name
		}
		emitted[base] = true
		assert.Contains(t, documented, base, "docs/telemetry.md does not document it")
	}
	for name, labels := range documented {
		if slices.Contains(notAlways, name) {
			continue
		}
		if !assert.True(t, emitted[name], "docs/telemetry.md documents %s, which is not emitted", name) {
			continue
		}
		var has struct{ Data []string }
		require.NoError(t, ask(t, &has, server+"/api/v1/labels",
			url.Values{"match[]": {`{__name__=~"` + name + `(_bucket)?"}`}}))
		assert.Subset(t, has.Data, labels, "labels of %s", name)
	}
}
