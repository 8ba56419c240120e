module github.com/otelcol-anonymizer/otelcol-anonymizer/models

go 1.25.0

require (
	github.com/yalue/onnxruntime_go v1.27.0
	go.yaml.in/yaml/v3 v3.0.6
)

require go.uber.org/goleak v1.3.0
