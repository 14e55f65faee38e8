from headrace.wire.schema import REQUEST, RESPONSE, bytes_min, message_class, schema_of


def test_names_times_and_nullability() -> None:
    schema = schema_of(message_class(3, 13, RESPONSE))
    by_name = {spec.name: spec for spec in schema.fields}
    assert by_name["throttle_time_ms"].kio_name == "throttle_time"
    assert by_name["cluster_id"].nullable and not by_name["cluster_id"].array
    assert by_name["topics"].array and not by_name["topics"].nullable
    assert {spec.name for spec in schema_of(message_class(3, 13, REQUEST)).fields} >= {"topics"}
    assert schema_of(message_class(3, 13, REQUEST)).fields[0].nullable


def test_tagged_fields_are_kept_apart_in_the_order_of_their_tags() -> None:
    schema = schema_of(message_class(18, 4, RESPONSE))
    assert [spec.tag for spec in schema.tagged] == [0, 1, 2, 3]
    assert [spec.name for spec in schema.fields] == ["error_code", "api_keys", "throttle_time_ms"]


def test_the_fewest_bytes_of_an_item() -> None:
    topics = schema_of(message_class(0, 3, REQUEST)).fields[3]
    assert bytes_min(topics, False) == 2 + 4
    topics = schema_of(message_class(0, 13, REQUEST)).fields[3]
    assert bytes_min(topics, True) == 16 + 1 + 1
