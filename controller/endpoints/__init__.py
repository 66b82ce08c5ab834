"""Who is behind a Service: Endpoints, EndpointSlices, and mirrors of Endpoints made by hand.

Three controllers of Kubernetes (docs/spec/endpoints-controllers.md) that share their view of
Services and pods. Pure: `pods`, `triggertime`, `packing`, `sliceplan`, `trafficdist`, `subsets`,
`endpointsplan`, `mirrorplan`; the shells are `endpoints`, `endpointslice` and `mirroring`.
"""
