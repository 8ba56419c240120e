// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const (
	chosenGPU = `{hw_id=~"$gpu"}`

	byGPU       = "{{hw_name}}"
	byGPUSensor = "{{hw_name}} {{hw_sensor_location}}"
)

// gpu shows the metrics of receiver/nvmlreceiver.
func gpu() *builder {
	return newDashboard("otelcol-anonymizer-gpu", "Video anonymizer: GPU",
		"What NVML reports about the GPUs, and how the number of people affects their memory.").
		WithVariable(service()).
		WithVariable(video()).
		WithVariable(variable("gpu", "GPU", "otel_hw_gpu_memory_limit_bytes", "hw_id")).
		WithRow(row("People and memory")).
		WithPanel(graph("People detected and GPU memory used", units.BytesIEC,
			query(`otel_hw_gpu_memory_usage_bytes`+chosenGPU, byGPU),
			query(`otel_detected_people_count{job=~"$service", anonymizer_video_name=~"$video"}`,
				"people in {{anonymizer_video_name}}")).
			Description("More people make a larger batch for the pose model.").
			OverrideByQuery("B", rightAxis(units.Short)).Span(full)).
		WithRow(row("Utilization")).
		WithPanel(utilization("GPU", "general")).
		WithPanel(utilization("Encoder", "encoder")).
		WithPanel(utilization("Decoder", "decoder")).
		WithRow(row("Memory")).
		WithPanel(graph("Memory used", units.BytesIEC,
			query(`otel_hw_gpu_memory_usage_bytes`+chosenGPU, byGPU)).Span(third)).
		WithPanel(graph("Memory free", units.BytesIEC,
			query(`otel_nvml_gpu_memory_free_bytes`+chosenGPU, byGPU)).Span(third)).
		WithPanel(graph("Total memory", units.BytesIEC,
			query(`otel_hw_gpu_memory_limit_bytes`+chosenGPU, byGPU)).Span(third)).
		WithPanel(graph("Memory utilization", units.PercentUnit,
			query(`otel_hw_gpu_memory_utilization_ratio`+chosenGPU, byGPU)).Max(1)).
		WithPanel(graph("Memory bandwidth", units.PercentUnit,
			query(`otel_nvml_gpu_memory_bandwidth_utilization_ratio`+chosenGPU, byGPU)).Max(1)).
		WithRow(row("Temperature, power, fan")).
		WithPanel(graph("Temperature", units.Celsius,
			query(`otel_hw_temperature_celsius`+chosenGPU, byGPUSensor)).Span(third)).
		WithPanel(graph("Power", units.Watt,
			query(`otel_hw_power_watts`+chosenGPU, byGPU),
			query(`otel_nvml_gpu_power_limit_watts`+chosenGPU, "{{hw_name}} limit ({{hw_limit_type}})")).Span(third)).
		WithPanel(graph("Fan", units.PercentUnit,
			query(`otel_hw_fan_speed_ratio`+chosenGPU, byGPUSensor)).Max(1).Span(third)).
		WithPanel(graph("Throttled", units.Short,
			query(`otel_nvml_gpu_throttle_active`+chosenGPU+` > 0`, "{{hw_name}} {{nvml_throttle_reason}}")).
			Description("Why the clocks are throttled, if they are.")).
		WithPanel(graph("Errors", units.Short,
			query(`sum by (hw_name, error_type) (increase(otel_hw_errors_total`+chosenGPU+`[$__rate_interval]))`,
				"{{hw_name}} {{error_type}}")))
}

// utilization shows the utilization of a part of the GPU: general, encoder, or decoder.
func utilization(title, task string) *timeseries.PanelBuilder {
	return graph(title, units.PercentUnit,
		query(`otel_hw_gpu_utilization_ratio{hw_id=~"$gpu", hw_gpu_task="`+task+`"}`, byGPU)).Max(1).Span(third)
}
