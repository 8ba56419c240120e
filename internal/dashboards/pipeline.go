// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const (
	frameSpans = `span_name="process_single_frame"`
	stageSpans = `span_name=~"decode|person_detection|pose_estimation|tracking|visualization|encode"`
	workSpans  = `span_name=~"decode|person_detection|pose_estimation|visualization|encode"`
	stepSpans  = `span_name=~"preprocess|inference|postprocess"`
	modelSpans = `span_name="inference"`

	byVideo = "{{anonymizer_video_name}}"
	bySpan  = "{{span_name}}"
	byModel = "{{anonymizer_model_name}}"
)

// pipeline shows the spans and metrics of receiver/videoanonymizer.
func pipeline() *builder {
	d := newDashboard("otelcol-anonymizer-pipeline", "Video anonymizer",
		"What happens to the videos: people, latency of each stage, throughput, masks, failures.").
		WithVariable(service()).
		WithVariable(video())
	withPeople(d)
	withLatency(d)
	withServers(d)
	withShare(d)
	withThroughput(d)
	withMasks(d)
	withOutcomes(d)
	return d
}

func service() *dashboard.QueryVariableBuilder {
	return variable("service", "Service", "otel_traces_span_metrics_calls_total", "service_name")
}

func video() *dashboard.QueryVariableBuilder {
	return variable("video", "Video", "otel_detected_people_count", "anonymizer_video_name")
}

func withPeople(d *builder) {
	d.WithRow(row("People")).
		WithPanel(graph("People detected", units.Short, ofVideo("otel_detected_people_count")).
			Description("People in the latest frame of each video.")).
		WithPanel(graph("Time per person", units.Seconds, ofVideo("otel_pose_time_per_person_seconds")).
			Description("Time to estimate the pose of one person."))
}

func withLatency(d *builder) {
	d.WithRow(row("Pipeline latency")).
		WithPanel(graph("Frame latency", units.Milliseconds,
			quantile(.5, "service_name", frameSpans, "p50"),
			quantile(.95, "service_name", frameSpans, "p95").Exemplar(true)).
			Description("From the start of decoding to the end of encoding, including the look-ahead. " +
				"Each dot is a frame and links to its trace.")).
		WithPanel(heatMap("Frame latency distribution", units.Milliseconds,
			query(`sum by (le) (increase(`+
				`otel_traces_span_metrics_duration_milliseconds_bucket{service_name=~"$service", `+frameSpans+
				`}[$__rate_interval]))`, "{{le}}"))).
		WithRow(row("Stage and model latency")).
		WithPanel(graph("Stages, p50", units.Milliseconds, quantile(.5, "span_name", stageSpans, bySpan))).
		WithPanel(graph("Stages, p95", units.Milliseconds,
			quantile(.95, "span_name", stageSpans, bySpan).Exemplar(true))).
		WithPanel(graph("Inference by model, p50", units.Milliseconds,
			quantile(.5, "anonymizer_model_name", modelSpans, byModel))).
		WithPanel(graph("Inference by model, p95", units.Milliseconds,
			quantile(.95, "anonymizer_model_name", modelSpans, byModel))).
		WithPanel(graph("Model steps, p95", units.Milliseconds, quantile(.95, "span_name", stepSpans, bySpan)).
			Description("Preparing the input, running the model and reading its output, for detection and pose together.")).
		WithPanel(stackedGraph("Work in each stage", units.Seconds,
			query(`sum by (span_name) (rate(`+
				`otel_traces_span_metrics_duration_milliseconds_sum{service_name=~"$service", `+workSpans+
				`}[$__rate_interval])) / 1000`, bySpan)).
			Description("Busy seconds per second, without tracking, which waits for later frames. " +
				"The stage that approaches 1 per worker is the bottleneck."))
}

// withServers shows the metrics of Triton, which Prometheus scrapes directly: see config/examples/triton.
func withServers(d *builder) {
	perRequest := func(duration, legend string) *prometheus.DataqueryBuilder {
		return query(fmt.Sprintf(`sum by (model) (rate(%s[$__rate_interval])) / `+
			`sum by (model) (rate(nv_inference_request_success[$__rate_interval])) / 1000`, duration), legend)
	}
	d.WithRow(row("Inference servers")).
		WithPanel(graph("Queue and compute time", units.Milliseconds,
			perRequest("nv_inference_queue_duration_us", "{{model}} queue"),
			perRequest("nv_inference_compute_infer_duration_us", "{{model}} compute"),
			quantile(.5, "service_name", frameSpans, "frame, p50")).
			Description("The mean time of a request in Triton: how long it waits, and how long the model takes. Next to it, "+
				"the time of a frame here.").
			OverrideByQuery("C", rightAxis(units.Milliseconds)).Span(third)).
		WithPanel(graph("Batch size and people", units.Short,
			query(`sum by (model) (rate(nv_inference_count[$__rate_interval])) / `+
				`sum by (model) (rate(nv_inference_exec_count[$__rate_interval]))`, "{{model}}"),
			query(`sum(otel_detected_people_count{job=~"$service", anonymizer_video_name=~"$video"})`, "people")).
			Description("Images that Triton processes at once, due to dynamic batching and to frames with many people.").
			OverrideByQuery("B", rightAxis(units.Short)).Span(third)).
		WithPanel(graph("Unanswered", units.Short,
			query(`sum by (receiver) (rate(otelcol_receiver_videoanonymizer_remote_requests_failed[$__rate_interval]))`,
				"requests of {{receiver}}"),
			query(`sum by (receiver) (rate(otelcol_receiver_videoanonymizer_attempts_unavailable[$__rate_interval]))`,
				"attempts of {{receiver}}"),
			query(`1 - max by (receiver) (otelcol_receiver_videoanonymizer_remote_available)`, "{{receiver}} waits")).
			Description("Requests per second that a server did not answer properly, and attempts at videos that ended for " +
				"that reason. Videos wait; none is lost.").Span(third))
}

// withShare shows the work that several machines share: see docs/share-deployment.md.
func withShare(d *builder) {
	const name = "otelcol_receiver_videoanonymizer_share_"
	counted := func(metric, legend string) *prometheus.DataqueryBuilder {
		return query(`sum by (instance) (increase(`+name+metric+`[$__rate_interval]))`, legend)
	}
	d.WithRow(row("Machines that share the work")).
		WithPanel(stackedGraph("Units", units.Short,
			query(`max by (receiver, state) (`+name+`units)`, "{{state}} {{receiver}}")).
			Description("Units of unfinished videos. If open units stay open, there are too few machines; if nothing changes " +
				"for a long time, they hang.").Span(third)).
		WithPanel(graph("Taken over and refused", units.Short,
			counted("takeovers", "taken over by {{instance}}"),
			counted("fenced_commits", "refused from {{instance}}"),
			counted("units_redone", "redone, reported by {{instance}}")).
			Description("Work of machines that had gone silent, results that came too late, and units that did not fit the " +
				"one before them or whose files were lost. No video is lost or published twice.").Span(third)).
		WithPanel(graph("Servers of the share", units.Short,
			query(`min by (instance) (`+name+`broker_available)`, "{{instance}}")).Max(1).
			Description("0 if a machine cannot reach a majority of the NATS servers, so it takes and commits nothing.").
			Span(third))
}

func withThroughput(d *builder) {
	d.WithRow(row("Throughput")).
		WithPanel(stackedGraph("Frames per second", units.Short,
			query(`sum by (anonymizer_frame_judgement) (`+
				`rate(otel_anonymizer_frames_total{job=~"$service"}[$__rate_interval]))`,
				"{{anonymizer_frame_judgement}}"))).
		WithPanel(graph("Real-time factor", units.Short, ofVideo("otel_anonymizer_video_real_time_factor_ratio")).
			Description("Seconds of video processed per second. Below 1, the pipeline is slower than real time.")).
		WithPanel(bars("Progress", units.PercentUnit,
			ofVideo("otel_anonymizer_video_progress_ratio")).Max(1).Span(third)).
		WithPanel(graph("Time left", units.Seconds, ofVideo("otel_anonymizer_video_remaining_seconds")).
			Description("At the current pace.").Span(third)).
		WithPanel(graph("Videos waiting", units.Short,
			query(`sum by (job) (otel_anonymizer_queue_length{job=~"$service"})`, "{{job}}")).Span(third))
}

func withMasks(d *builder) {
	d.WithRow(row("Masks")).
		WithPanel(stackedGraph("Masks by origin", units.Short,
			query(`sum by (anonymizer_mask_origin) (`+
				`rate(otel_anonymizer_masks_total{job=~"$service"}[$__rate_interval]))`, "{{anonymizer_mask_origin}}")).
			Description("What each mask was derived from. Where box, interpolated or held appear, check the video.")).
		WithPanel(graph("Uncertain", units.Short,
			query(`sum(rate(otel_anonymizer_uncertain_people_total{job=~"$service"}[$__rate_interval]))`, "people"),
			query(`sum(rate(otel_anonymizer_whole_frames_total{job=~"$service"}[$__rate_interval]))`, "whole frames")).
			Description("People per second whose head could not be located, " +
				"and frames per second that were masked completely."))
}

func withOutcomes(d *builder) {
	d.WithRow(row("Outcomes")).
		WithPanel(number("Videos", units.Short,
			query(`sum by (anonymizer_video_outcome) (otel_anonymizer_videos_total{job=~"$service"})`,
				"{{anonymizer_video_outcome}}")).Span(third)).
		WithPanel(latestTable("Failures by reason",
			query(`sum by (error_type) (otel_traces_span_metrics_calls_total{service_name=~"$service", `+
				`span_name="anonymize_video", error_type!=""})`, "")).
			Description("See the log record and the trace of the video for details.").Span(third)).
		WithPanel(graph("Telemetry refused", units.Short,
			query(`sum by (receiver) (rate(otelcol_receiver_refused_spans[$__rate_interval])) + `+
				`sum by (receiver) (rate(otelcol_receiver_refused_log_records[$__rate_interval]))`,
				"refused by {{receiver}}"),
			query(`sum(rate(otelcol_receiver_videoanonymizer_spans_dropped[$__rate_interval]))`, "spans dropped"),
			query(`sum(rate(otelcol_receiver_videoanonymizer_log_records_dropped[$__rate_interval]))`,
				"log records dropped")).
			Description("Spans and log records per second that the collector's pipelines refused, " +
				"and those that were dropped.").
			Span(third))
}

// ofVideo queries a metric that has one value per video.
func ofVideo(metric string) *prometheus.DataqueryBuilder {
	return query(metric+`{job=~"$service", anonymizer_video_name=~"$video"}`, byVideo)
}

// quantile queries the quantile q (0..1) of span durations, in milliseconds, for each value of a label.
func quantile(q float64, label, spans, legend string) *prometheus.DataqueryBuilder {
	return query(fmt.Sprintf(`histogram_quantile(%g, sum by (le, %s) (rate(`+
		`otel_traces_span_metrics_duration_milliseconds_bucket{service_name=~"$service", %s}[$__rate_interval])))`,
		q, label, spans), legend)
}
