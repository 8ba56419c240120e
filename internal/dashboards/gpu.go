// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package dashboards

const ofGPU = `{hw_id=~"$gpu"}`

var gpu = Dashboard{
	UID: "otelcol-anonymizer-gpu", Title: "Video anonymizer: GPU",
	Description: "What NVML says of the GPUs, and what the number of people does to their memory.",
	Variables: []Variable{
		service, videos,
		{Name: "gpu", Title: "GPU", Metric: "otel_hw_gpu_memory_limit_bytes", Label: "hw_id"},
	},
	Sections: []Section{
		{"People against memory", []Panel{
			{Title: "People detected and GPU memory used", Description: "More people are a larger batch for the pose model.", Unit: "bytes", Width: 24,
				Queries: []Query{
					{Expr: `otel_hw_gpu_memory_usage_bytes{hw_id=~"$gpu", nvml_memory_state="used"}`, Legend: "{{hw_name}}"},
					{Expr: `otel_detected_people_count{job=~"$service", anonymizer_video_name=~"$video"}`, Legend: "people in {{anonymizer_video_name}}", RightAxis: true, Unit: "short"},
				}},
		}},
		{"Utilization", []Panel{
			{Title: "GPU", Unit: "percentunit", Max: 1, Width: 8, Queries: []Query{{Expr: `otel_hw_gpu_utilization_ratio{hw_id=~"$gpu", hw_gpu_task="general"}`, Legend: "{{hw_name}}"}}},
			{Title: "Encoder", Unit: "percentunit", Max: 1, Width: 8, Queries: []Query{{Expr: `otel_hw_gpu_utilization_ratio{hw_id=~"$gpu", hw_gpu_task="encoder"}`, Legend: "{{hw_name}}"}}},
			{Title: "Decoder", Unit: "percentunit", Max: 1, Width: 8, Queries: []Query{{Expr: `otel_hw_gpu_utilization_ratio{hw_id=~"$gpu", hw_gpu_task="decoder"}`, Legend: "{{hw_name}}"}}},
		}},
		{"Memory", []Panel{
			{Title: "Memory used", Unit: "bytes", Width: 8, Queries: []Query{{Expr: `otel_hw_gpu_memory_usage_bytes{hw_id=~"$gpu", nvml_memory_state="used"}`, Legend: "{{hw_name}}"}}},
			{Title: "Memory free", Unit: "bytes", Width: 8, Queries: []Query{{Expr: `otel_hw_gpu_memory_usage_bytes{hw_id=~"$gpu", nvml_memory_state="free"}`, Legend: "{{hw_name}}"}}},
			{Title: "Memory in total", Unit: "bytes", Width: 8, Queries: []Query{{Expr: `otel_hw_gpu_memory_limit_bytes` + ofGPU, Legend: "{{hw_name}}"}}},
			{Title: "Share of the memory used", Unit: "percentunit", Max: 1, Queries: []Query{{Expr: `otel_hw_gpu_memory_utilization_ratio{hw_id=~"$gpu", nvml_memory_state="used"}`, Legend: "{{hw_name}}"}}},
			{Title: "Memory bandwidth", Unit: "percentunit", Max: 1, Queries: []Query{{Expr: `otel_nvml_gpu_memory_bandwidth_utilization_ratio` + ofGPU, Legend: "{{hw_name}}"}}},
		}},
		{"Temperature, power, fan", []Panel{
			{Title: "Temperature", Unit: "celsius", Width: 8, Queries: []Query{{Expr: `otel_hw_temperature_celsius` + ofGPU, Legend: "{{hw_name}} {{hw_sensor_location}}"}}},
			{Title: "Power", Unit: "watt", Width: 8, Queries: []Query{
				{Expr: `otel_hw_power_watts` + ofGPU, Legend: "{{hw_name}}"},
				{Expr: `otel_nvml_gpu_power_limit_watts` + ofGPU, Legend: "{{hw_name}} limit ({{hw_limit_type}})"},
			}},
			{Title: "Fan", Unit: "percentunit", Max: 1, Width: 8, Queries: []Query{{Expr: `otel_hw_fan_speed_ratio` + ofGPU, Legend: "{{hw_name}} {{hw_sensor_location}}"}}},
			{Title: "Throttled", Description: "Why the clocks are held down, if they are.", Unit: "short", Queries: []Query{{Expr: `otel_nvml_gpu_throttle_active_ratio` + ofGPU + ` > 0`, Legend: "{{hw_name}} {{nvml_throttle_reason}}"}}},
			{Title: "Errors", Unit: "short", Queries: []Query{{Expr: `sum by (hw_name, error_type) (increase(otel_hw_errors_total` + ofGPU + `[$__rate_interval]))`, Legend: "{{hw_name}} {{error_type}}"}}},
		}},
	},
}
