"""The headers of the months that TLC published as CSV, era by era. Data, not code.

Source: the first lines of 308 files of 2009 to 2020. TLC moved to Parquet in May 2022 and published
its past again, under other names: yellow from 2011 on with zones in place of coordinates. Files
that others made of the Parquet editions have those names: their eras are the ones in ``datasets``.

A star marks a column without which a month is worthless. Blanks around a name, its case, and fields
beyond the header are left to who reads the file: green to mid-2015, and both of late 2016, end each
row with two empty ones.
"""

# dataset → (first month, header); a read type is named only where no Parquet era has the column
CSV_HEADERS: dict[str, tuple[tuple[str, str], ...]] = {
    "yellow": (
        (
            "2009-01",
            "vendor_name,Trip_Pickup_DateTime*,Trip_Dropoff_DateTime*,Passenger_Count,"
            "Trip_Distance*,Start_Lon,Start_Lat,Rate_Code,store_and_forward,End_Lon,End_Lat,"
            "Payment_Type,Fare_Amt*,surcharge,mta_tax,Tip_Amt,Tolls_Amt,Total_Amt*",
        ),
        (
            "2010-01",
            "vendor_id,pickup_datetime*,dropoff_datetime*,passenger_count,trip_distance*,"
            "pickup_longitude,pickup_latitude,rate_code,store_and_fwd_flag,dropoff_longitude,"
            "dropoff_latitude,payment_type,fare_amount*,surcharge,mta_tax,tip_amount,tolls_amount,"
            "total_amount*",
        ),
        (
            "2015-01",
            "VendorID,tpep_pickup_datetime*,tpep_dropoff_datetime*,passenger_count,trip_distance*,"
            "pickup_longitude,pickup_latitude,RateCodeID,store_and_fwd_flag,dropoff_longitude,"
            "dropoff_latitude,payment_type,fare_amount*,extra,mta_tax,tip_amount,tolls_amount,"
            "improvement_surcharge,total_amount*",
        ),
        (
            "2016-07",
            "VendorID,tpep_pickup_datetime*,tpep_dropoff_datetime*,passenger_count,trip_distance*,"
            "RatecodeID,store_and_fwd_flag,PULocationID*,DOLocationID*,payment_type,fare_amount*,"
            "extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount*",
        ),
        (
            "2019-01",
            "VendorID,tpep_pickup_datetime*,tpep_dropoff_datetime*,passenger_count,trip_distance*,"
            "RatecodeID,store_and_fwd_flag,PULocationID*,DOLocationID*,payment_type,fare_amount*,"
            "extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount*,"
            "congestion_surcharge",
        ),
    ),
    "green": (
        (
            "2013-08",
            "VendorID,lpep_pickup_datetime*,Lpep_dropoff_datetime*,Store_and_fwd_flag,RateCodeID,"
            "Pickup_longitude:double,Pickup_latitude:double,Dropoff_longitude:double,"
            "Dropoff_latitude:double,Passenger_count,Trip_distance*,Fare_amount*,Extra,MTA_tax,"
            "Tip_amount,Tolls_amount,Ehail_fee,Total_amount*,Payment_type,Trip_type",
        ),
        (
            "2015-01",
            "VendorID,lpep_pickup_datetime*,Lpep_dropoff_datetime*,Store_and_fwd_flag,RateCodeID,"
            "Pickup_longitude:double,Pickup_latitude:double,Dropoff_longitude:double,"
            "Dropoff_latitude:double,Passenger_count,Trip_distance*,Fare_amount*,Extra,MTA_tax,"
            "Tip_amount,Tolls_amount,Ehail_fee,improvement_surcharge,Total_amount*,Payment_type,"
            "Trip_type",
        ),
        (
            "2016-07",
            "VendorID,lpep_pickup_datetime*,lpep_dropoff_datetime*,store_and_fwd_flag,RatecodeID,"
            "PULocationID*,DOLocationID*,passenger_count,trip_distance*,fare_amount*,extra,mta_tax,"
            "tip_amount,tolls_amount,ehail_fee,improvement_surcharge,total_amount*,payment_type,"
            "trip_type",
        ),
        (
            "2019-01",
            "VendorID,lpep_pickup_datetime*,lpep_dropoff_datetime*,store_and_fwd_flag,RatecodeID,"
            "PULocationID*,DOLocationID*,passenger_count,trip_distance*,fare_amount*,extra,mta_tax,"
            "tip_amount,tolls_amount,ehail_fee,improvement_surcharge,total_amount*,payment_type,"
            "trip_type,congestion_surcharge",
        ),
    ),
    "fhv": (
        ("2015-01", "Dispatching_base_num*,Pickup_date*:timestamp,locationID:double"),
        (
            "2017-01",
            "Dispatching_base_num*,Pickup_DateTime*,DropOff_datetime,PUlocationID,DOlocationID",
        ),
        (
            "2017-07",
            "Dispatching_base_num*,Pickup_DateTime*,DropOff_datetime,PUlocationID,DOlocationID,"
            "SR_Flag",
        ),
        (
            "2018-01",
            "Pickup_DateTime*,DropOff_datetime,PUlocationID,DOlocationID,SR_Flag,"
            "Dispatching_base_number*:text,Dispatching_base_num",
        ),
        (
            "2019-01",
            "dispatching_base_num*,pickup_datetime*,dropoff_datetime,PULocationID,DOLocationID,"
            "SR_Flag",
        ),
    ),
    "fhvhv": (
        (
            "2019-02",
            "hvfhs_license_num*,dispatching_base_num,pickup_datetime*,dropoff_datetime*,"
            "PULocationID*,DOLocationID*,SR_Flag:double",
        ),
    ),
}
