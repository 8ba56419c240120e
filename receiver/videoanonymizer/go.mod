module github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer

go 1.25.0

require (
	github.com/otelcol-anonymizer/otelcol-anonymizer/models v0.0.0
	github.com/yalue/onnxruntime_go v1.27.0
	gocv.io/x/gocv v0.43.0
)

replace github.com/otelcol-anonymizer/otelcol-anonymizer/models => ../../models
