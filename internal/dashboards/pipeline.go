// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package dashboards

import "fmt"

// All are the dashboards, by the name of their file.
func All() map[string]Dashboard {
	return map[string]Dashboard{"pipeline.json": pipeline, "gpu.json": gpu}
}

var (
	service = Variable{Name: "service", Title: "Service", Metric: "otel_traces_span_metrics_calls_total", Label: "service_name"}
	videos  = Variable{Name: "video", Title: "Video", Metric: "otel_detected_people_count", Label: "anonymizer_video_name"}
)

// quantile of the duration of spans, in ms.
func quantile(q float64, by, spans string) string {
	return fmt.Sprintf(`histogram_quantile(%g, sum by (le, %s) (rate(otel_traces_span_metrics_duration_milliseconds_bucket{service_name=~"$service", %s}[$__rate_interval])))`,
		q, by, spans)
}

const (
	frames = `span_name="process_single_frame"`
	stages = `span_name=~"decode|person_detection|pose_estimation|tracking|visualization|encode"`
	steps  = `span_name=~"preprocess|inference|postprocess"`
)

var pipeline = Dashboard{
	UID: "otelcol-anonymizer-pipeline", Title: "Video anonymizer",
	Description: "What becomes of the videos: people, latency of every stage, throughput, masks, failures.",
	Variables:   []Variable{service, videos},
	Sections: []Section{
		{"People", []Panel{
			{Title: "People detected", Description: "People in the newest frame of each video.", Unit: "short",
				Queries: []Query{{Expr: `otel_detected_people_count{job=~"$service", anonymizer_video_name=~"$video"}`, Legend: "{{anonymizer_video_name}}"}}},
			{Title: "Time per person", Description: "Time to estimate the pose of one person.", Unit: "s",
				Queries: []Query{{Expr: `otel_pose_time_per_person_seconds{job=~"$service", anonymizer_video_name=~"$video"}`, Legend: "{{anonymizer_video_name}}"}}},
		}},
		{"Pipeline latency", []Panel{
			{Title: "Frame latency", Description: "From before decoding to after encoding, the look-ahead included. The dots are frames: they lead to their traces.", Unit: "ms",
				Queries: []Query{
					{Expr: quantile(.5, "service_name", frames), Legend: "p50"},
					{Expr: quantile(.95, "service_name", frames), Legend: "p95", Exemplars: true},
				}},
			{Title: "Frame latency, spread", Kind: "heatmap", Unit: "ms",
				Queries: []Query{{Expr: `sum by (le) (increase(otel_traces_span_metrics_duration_milliseconds_bucket{service_name=~"$service", ` + frames + `}[$__rate_interval]))`, Legend: "{{le}}"}}},
		}},
		{"Stage and model latency", []Panel{
			{Title: "Stages, p50", Unit: "ms", Queries: []Query{{Expr: quantile(.5, "span_name", stages), Legend: "{{span_name}}"}}},
			{Title: "Stages, p95", Unit: "ms", Queries: []Query{{Expr: quantile(.95, "span_name", stages), Legend: "{{span_name}}", Exemplars: true}}},
			{Title: "Inference by model, p50", Unit: "ms", Queries: []Query{{Expr: quantile(.5, "anonymizer_model_name", `span_name="inference"`), Legend: "{{anonymizer_model_name}}"}}},
			{Title: "Inference by model, p95", Unit: "ms", Queries: []Query{{Expr: quantile(.95, "anonymizer_model_name", `span_name="inference"`), Legend: "{{anonymizer_model_name}}"}}},
			{Title: "Steps of the models, p95", Description: "Preparing the input, the model itself, and reading its output, of detection and pose together.", Unit: "ms",
				Queries: []Query{{Expr: quantile(.95, "span_name", steps), Legend: "{{span_name}}"}}},
			{Title: "Work in each stage", Description: "Seconds of each second that a stage is at work: what is near 1 for every worker is the bottleneck.", Unit: "s", Stacked: true,
				Queries: []Query{{Expr: `sum by (span_name) (rate(otel_traces_span_metrics_duration_milliseconds_sum{service_name=~"$service", ` + stages + `}[$__rate_interval])) / 1000`, Legend: "{{span_name}}"}}},
		}},
		{"Throughput", []Panel{
			{Title: "Frames a second", Unit: "short", Stacked: true,
				Queries: []Query{{Expr: `sum by (anonymizer_frame_judgement) (rate(otel_anonymizer_frames_total{job=~"$service"}[$__rate_interval]))`, Legend: "{{anonymizer_frame_judgement}}"}}},
			{Title: "Real-time factor", Description: "Seconds of video in a second. Below 1 the pipeline is slower than a camera.", Unit: "short",
				Queries: []Query{{Expr: `otel_anonymizer_video_real_time_factor_ratio{job=~"$service", anonymizer_video_name=~"$video"}`, Legend: "{{anonymizer_video_name}}"}}},
			{Title: "Progress", Kind: "bargauge", Unit: "percentunit", Max: 1, Width: 8,
				Queries: []Query{{Expr: `otel_anonymizer_video_progress_ratio{job=~"$service", anonymizer_video_name=~"$video"}`, Legend: "{{anonymizer_video_name}}"}}},
			{Title: "Time left", Description: "At the pace of the attempt.", Unit: "s", Width: 8,
				Queries: []Query{{Expr: `otel_anonymizer_video_remaining_seconds{job=~"$service", anonymizer_video_name=~"$video"}`,
					Legend: "{{anonymizer_video_name}}"}}},
			{Title: "Videos waiting", Unit: "short", Width: 8,
				Queries: []Query{{Expr: `sum by (job) (otel_anonymizer_queue_length{job=~"$service"})`, Legend: "{{job}}"}}},
		}},
		{"Masks", []Panel{
			{Title: "Masks by origin", Description: "What each mask was derived from. box, interpolated and held are worth a look at the video.", Unit: "short", Stacked: true,
				Queries: []Query{{Expr: `sum by (anonymizer_mask_origin) (rate(otel_anonymizer_masks_total{job=~"$service"}[$__rate_interval]))`, Legend: "{{anonymizer_mask_origin}}"}}},
			{Title: "Uncertain", Description: "People a second whose head could not be located, and frames a second that were masked whole.", Unit: "short",
				Queries: []Query{
					{Expr: `sum(rate(otel_anonymizer_uncertain_people_total{job=~"$service"}[$__rate_interval]))`, Legend: "people"},
					{Expr: `sum(rate(otel_anonymizer_whole_frames_total{job=~"$service"}[$__rate_interval]))`, Legend: "whole frames"},
				}},
		}},
		{"Outcomes", []Panel{
			{Title: "Videos", Kind: "stat", Unit: "short", Width: 8,
				Queries: []Query{{Expr: `sum by (anonymizer_video_outcome) (otel_anonymizer_videos_total{job=~"$service"})`, Legend: "{{anonymizer_video_outcome}}"}}},
			{Title: "Failures by reason", Description: "The log record and the trace of the video say the rest.", Kind: "table", Width: 8,
				Queries: []Query{{Expr: `sum by (error_type) (otel_traces_span_metrics_calls_total{service_name=~"$service", span_name="anonymize_video", error_type!=""})`}}},
			{Title: "Telemetry refused", Description: "Spans and log records a second that the collector's pipelines refused, and those that were given up.", Width: 8, Unit: "short",
				Queries: []Query{
					{Expr: `sum by (receiver) (rate(otelcol_receiver_refused_spans[$__rate_interval])) + sum by (receiver) (rate(otelcol_receiver_refused_log_records[$__rate_interval]))`, Legend: "refused by {{receiver}}"},
					{Expr: `sum(rate(otelcol_receiver_videoanonymizer_spans_dropped[$__rate_interval]))`, Legend: "spans given up"},
					{Expr: `sum(rate(otelcol_receiver_videoanonymizer_log_records_dropped[$__rate_interval]))`, Legend: "log records given up"},
				}},
		}},
	},
}
